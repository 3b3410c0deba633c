"""PyTorch's side of the GPU benchmark of the emoji model: one guided step, eager and compiled with CUDA graphs.

    python torch_zoo_cuda.py FOLDER --modes eager,compile --json OUT.json

Needs torch alone (measured with 2.11.0): the transformer is diffusers' FluxTransformer2DModel written out, which
--check holds against FOLDER/reference.safetensors. A step is what a sampler runs once a timestep: the guided pair as one
batch of 2, guidance, and Euler's step, in bfloat16 with the latents in float32. Rotary tables and text embeddings are made
once. Times are by CUDA events over whole loops of 20 steps, divided by 20; medians of warm loops.
"""
import argparse
import json
import pathlib
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def load_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, t in header.items():
        begin, end = (8 + size + o for o in t["data_offsets"])
        tensors[name] = torch.frombuffer(bytearray(data[begin:end]), dtype=DTYPES[t["dtype"]]).reshape(t["shape"])
    return tensors


def rotary_table(ids, axes, theta=10000.0):
    """cos and sin [tokens, head_dim], each value twice."""
    tables = []
    for axis, dim in enumerate(axes):
        rates = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        tables.append(torch.outer(ids[:, axis].double(), rates).repeat_interleave(2, dim=1))
    angles = torch.cat(tables, dim=1)
    return angles.cos().float(), angles.sin().float()


def rotate(x, table):
    cos, sin = (t[:, None] for t in table)  # x: [batch, tokens, heads, head_dim]
    real, imaginary = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([-imaginary, real], dim=-1).flatten(3)
    return (x.float() * cos + turned.float() * sin).to(x.dtype)


class Linears(nn.Module):
    """Parameters by the checkpoint's names, with '_' for '.'."""

    def __init__(self, weights):
        super().__init__()
        for name, value in weights.items():
            self.register_parameter(name.replace(".", "_"), nn.Parameter(value, requires_grad=False))

    def p(self, name):
        return getattr(self, name.replace(".", "_"))

    def linear(self, name, x):
        return F.linear(x, self.p(name + ".weight"), self.p(name + ".bias"))


class Flux(Linears):
    def __init__(self, folder):
        folder = pathlib.Path(folder) / "transformer"
        config = json.loads((folder / "config.json").read_text())
        super().__init__(load_safetensors(folder / "diffusion_pytorch_model.safetensors"))
        self.c = config
        self.heads = config["num_attention_heads"]

    def embed_time(self, t):
        half = 128
        rates = torch.exp(-torch.log(torch.tensor(10000.0)) * torch.arange(half, device=t.device) / half)
        angles = 1000 * t[:, None].float() * rates
        return torch.cat([angles.cos(), angles.sin()], dim=1)

    def condition(self, t, pooled):
        name = "time_text_embed."
        time_part = F.silu(self.linear(name + "timestep_embedder.linear_1", self.embed_time(t).to(pooled.dtype)))
        text_part = F.silu(self.linear(name + "text_embedder.linear_1", pooled))
        return F.silu(self.linear(name + "timestep_embedder.linear_2", time_part) +
                      self.linear(name + "text_embedder.linear_2", text_part))

    def modulation(self, name, emb, parts):
        return self.linear(name + ".linear", emb)[:, None].chunk(parts, dim=-1)

    def norm(self, x, shift, scale):
        return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift

    def qkv(self, prefix, x, names=("to_q", "to_k", "to_v"), norms=("norm_q", "norm_k")):
        q, k, v = (self.linear(prefix + n, x).unflatten(-1, (self.heads, -1)) for n in names)
        q, k = (F.rms_norm(h, h.shape[-1:], self.p(prefix + n + ".weight"), 1e-6) for h, n in zip((q, k), norms))
        return q, k, v

    def attention(self, q, k, v, table):
        q, k = rotate(q, table), rotate(k, table)
        return F.scaled_dot_product_attention(*(h.transpose(1, 2) for h in (q, k, v))).transpose(1, 2).flatten(2)

    def feed_forward(self, name, x):
        return self.linear(name + ".net.2", F.gelu(self.linear(name + ".net.0.proj", x), approximate="tanh"))

    def double_block(self, i, x, text, emb, table):
        name = f"transformer_blocks.{i}."
        mx = self.modulation(name + "norm1", emb, 6)  # shift, scale, gate; the same of the feed-forward
        mt = self.modulation(name + "norm1_context", emb, 6)
        own = self.qkv(name + "attn.", self.norm(x, mx[0], mx[1]))
        added = self.qkv(name + "attn.", self.norm(text, mt[0], mt[1]), ("add_q_proj", "add_k_proj", "add_v_proj"),
                         ("norm_added_q", "norm_added_k"))
        joint = self.attention(*(torch.cat(pair, dim=1) for pair in zip(added, own)), table)
        a_text, a_x = joint.split([text.shape[1], x.shape[1]], dim=1)
        x = x + mx[2] * self.linear(name + "attn.to_out.0", a_x)
        text = text + mt[2] * self.linear(name + "attn.to_add_out", a_text)
        x = x + mx[5] * self.feed_forward(name + "ff", self.norm(x, mx[3], mx[4]))
        text = text + mt[5] * self.feed_forward(name + "ff_context", self.norm(text, mt[3], mt[4]))
        return x, text

    def single_block(self, i, h, emb, table):
        name = f"single_transformer_blocks.{i}."
        shift, scale, gate = self.modulation(name + "norm", emb, 3)
        n = self.norm(h, shift, scale)
        mlp = F.gelu(self.linear(name + "proj_mlp", n), approximate="tanh")
        attended = self.attention(*self.qkv(name + "attn.", n), table)
        return h + gate * self.linear(name + "proj_out", torch.cat([attended, mlp], dim=2))

    def forward(self, x, t, text, pooled, table):
        emb = self.condition(t, pooled)
        x, text = self.linear("x_embedder", x), self.linear("context_embedder", text)
        for i in range(self.c["num_layers"]):
            x, text = self.double_block(i, x, text, emb, table)
        h = torch.cat([text, x], dim=1)
        for i in range(self.c["num_single_layers"]):
            h = self.single_block(i, h, emb, table)
        scale, shift = self.modulation("norm_out", emb, 2)
        return self.linear("proj_out", self.norm(h[:, text.shape[1]:], shift, scale))


def positions(text, side):
    ids = torch.zeros(text + side * side, 3)
    ids[text:, 1] = torch.arange(side).repeat_interleave(side)
    ids[text:, 2] = torch.arange(side).repeat(side)
    return ids


def check(folder, model, table):
    """The reference's first velocity, in float32 on the CPU."""
    r = load_safetensors(pathlib.Path(folder) / "reference.safetensors")
    found = model.float()(r["noise"], torch.ones(4), r["text_states"], r["pooled"], table)
    error = (found - r["v_cond"][0]).norm() / r["v_cond"][0].norm()
    print(f"against reference.safetensors: relative error {error:.2e}")
    assert error < 1e-4


def make_step(model, guidance, steps):
    def step(x, t, text, pooled, cos, sin):
        v = model(torch.cat([x, x]).to(text.dtype), t.expand(2), text, pooled, (cos, sin)).float()
        return x + (-1.0 / steps) * (v[1:] + guidance * (v[:1] - v[1:]))
    return step


def time_loops(step, inputs, steps, loops):
    times = [torch.tensor([1 - k / steps], device="cuda") for k in range(steps)]
    noise = torch.randn(1, 64, 32, device="cuda")
    ms = []
    for i in range(loops + 5):
        x = noise
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        begin.record()
        for t in times:
            torch.compiler.cudagraph_mark_step_begin()
            x = step(x.clone(), t, *inputs)
        end.record()
        end.synchronize()
        if i >= 5:
            ms.append(begin.elapsed_time(end) / steps)
    q = statistics.quantiles(ms, n=4)
    return {"median_ms": statistics.median(ms), "q1_ms": q[0], "q3_ms": q[2]}


def time_graph(step, inputs, loops):
    """One step captured by hand and replayed without Python's guards in between: the least that the kernels take."""
    x, t = torch.randn(1, 64, 32, device="cuda"), torch.ones(1, device="cuda")
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            step(x, t, *inputs)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step(x, t, *inputs)
    return time_loops(lambda *_: (graph.replay(), x)[1], inputs, 20, loops)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--modes", default="eager,compile,graph", help="graph: the compiled step in one graph captured by hand")
    parser.add_argument("--loops", type=int, default=30)
    parser.add_argument("--check", action="store_true", help="only compare with reference.safetensors, on the CPU")
    parser.add_argument("--json")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    model = Flux(args.folder)
    table = rotary_table(positions(64, 8), model.c["axes_dims_rope"])
    if args.check:
        return check(args.folder, model, table)
    scheduler = json.loads((pathlib.Path(args.folder) / "pipeline.json").read_text())["scheduler"]
    model = model.to("cuda", torch.bfloat16)
    bf16 = dict(device="cuda", dtype=torch.bfloat16)
    inputs = [torch.randn(2, 64, 192, **bf16), torch.randn(2, 192, **bf16), *(t.to("cuda") for t in table)]
    for tensor in inputs:
        torch._dynamo.mark_static_address(tensor)  # no copies into the graph's own buffers
    plain = make_step(model, scheduler["true_cfg_scale"], scheduler["steps"])
    results = {"torch": torch.__version__, "device": torch.cuda.get_device_name()}
    for mode in args.modes.split(","):
        start = time.time()
        if mode == "graph":
            row = time_graph(torch.compile(plain, fullgraph=True), inputs, args.loops)
        else:
            step = plain if mode == "eager" else torch.compile(plain, mode="reduce-overhead", fullgraph=True)
            row = time_loops(step, inputs, scheduler["steps"], args.loops)
        row["ready_s"] = time.time() - start
        results[mode] = row
        print(f"torch {mode:8s} guided step {row['median_ms']:7.4f} ms  [{row['q1_ms']:.4f}, {row['q3_ms']:.4f}]  "
              f"({row['ready_s']:.0f} s)", flush=True)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
