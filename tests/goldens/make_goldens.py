#!/usr/bin/env python3
"""Golden data: tiny random models of diffusers and transformers with inputs and reference outputs (see README.md).

usage: make_goldens.py OUT_DIR [--seed 0] [--variant a|b] [--only name,...]
"""
import argparse, json, math, pathlib, re, shutil, statistics, zlib
from unittest import mock

import diffusers as D, numpy, safetensors, torch, transformers as T
from diffusers.pipelines.flux.pipeline_flux import FluxPipeline, calculate_shift
from safetensors.torch import load_file, save_file

VERSIONS = {m.__name__: m.__version__.split("+")[0] for m in (torch, D, T, safetensors, numpy)}
KEY_BIAS = re.compile(r"\.to_k\.bias$")  # a bias shared by all keys cancels in softmax
DTYPE_RULE = ("Floating inputs and weights are cast to the run's type (out: reference, out32: float32), integer inputs are "
              "kept, casts to float32 inside the library stay, results are stored as float32.")

TAPS = re.compile(  # submodules whose output is stored: embedders, the first two blocks, inside the first one its main parts
    r"((en|de)coder\.)?(\w*embed\w*|conv_in|\w*blocks?\.1|"
    r"(mid_block|\w*blocks?\.0)(\.(attn|norm1|resnets\.0|attentions\.0|layer\.0\.SelfAttention))?)")

STORED = {"flux_dev": torch.float32, "t5_encoder": torch.float32, "autoencoder_kl_sdxl": torch.float16}  # others bfloat16

def seed_for(*key):
    torch.manual_seed(zlib.crc32("/".join(map(str, key)).encode()))

# ------------------------------------------------------------------------------------------------ weights
@torch.no_grad()
def randomise(model, tune):
    """Gives every parameter a value that matters. `tune`: regex -> factor on the deviation from the centre."""
    for prefix, mod in model.named_modules():
        for leaf, p in mod.named_parameters(recurse=False):
            first = p.flatten()[0].item()
            constant = bool((p == first).all())  # norms, zero-initialised: stay around the initial value
            centre, std = (first if constant else 0.0), (0.2 if constant or leaf == "bias" else 0.5)
            if isinstance(mod, (torch.nn.Linear, torch.nn.modules.conv._ConvNd)) and leaf != "bias":
                centre, std = 0.0, mod.weight[0].numel() ** -0.5
            elif isinstance(mod, torch.nn.Embedding):
                centre, std = 0.0, 1.0
            std *= math.prod(f for pattern, f in tune.items() if re.search(pattern, f"{prefix}.{leaf}"))
            p.copy_(centre + std * torch.randn_like(p))

def store(model, folder, dtype):
    """Rewrites the saved weights as `dtype`, which holds them exactly (see `make_case`); buffers keep their type."""
    names = dict(model.named_parameters())
    for file in sorted(folder.glob("*.safetensors")):
        tensors = {k: v.to(dtype) if k in names else v for k, v in load_file(file).items()}
        save_file(tensors, file, {"format": "pt"})
    for file in folder.glob("*.index.json"):
        index = json.loads(file.read_text())
        index["metadata"]["total_size"] = sum(v.nbytes for f in folder.glob("*.safetensors") for v in load_file(f).values())
        file.write_text(json.dumps(index, indent=2) + "\n")
    config = json.loads((folder / "config.json").read_text())
    if "dtype" in config:  # transformers records it
        (folder / "config.json").write_text(json.dumps({**config, "dtype": str(dtype)[6:]}, indent=2) + "\n")

# ------------------------------------------------------------------------------------------------ running
def parse_calls(text, inputs):
    """"method(args) -> name=path ..."; args: `*` all inputs, `kwarg=input`. An input that a kwarg takes is not passed
    under its own name."""
    for one in text.split(";"):
        method, args, outs = re.fullmatch(r"\s*(\w+)\((.*?)\) -> (.*)", one).groups()
        words = args.split()
        bound = {k: k for k in inputs} if "*" in words else {}
        for w in (w for w in words if w != "*"):
            key, value = (w.split("=") * 2)[:2]
            bound.pop(value, None)
            bound[key] = value
        yield {"method": method, "args": bound, "outputs": {o.split("=")[0]: o.split("=")[-1] for o in outs.split()}}

def follow(result, path):
    for part in path.split("."):
        if not torch.is_tensor(result):  # a bare tensor is its own and only output
            result = getattr(result, part)
    return result

def run(model, calls, inputs, dtype, taps=()):
    """Outputs, and taps by module path ("path:i" where a module returns a tuple; first invocation only)."""
    values = {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    outs, tapped, hooks = {}, {}, []

    def tap(path, result):
        for key, t in [(path, result)] if torch.is_tensor(result) else [(f"{path}:{i}", t) for i, t in enumerate(result)]:
            if torch.is_tensor(t):
                tapped.setdefault(key, t.detach().clone())

    for path in taps:
        hooks.append(model.get_submodule(path).register_forward_hook(lambda _, __, result, path=path: tap(path, result)))
    for c in calls:
        result = getattr(model, c["method"])(**{k: values[v] for k, v in c["args"].items()})
        outs.update({name: follow(result, path) for name, path in c["outputs"].items()})
    for h in hooks:
        h.remove()
    return outs, tapped

def run_wide(model, calls, inputs):
    """Float64 throughout: the library's own casts to float32 are widened too."""
    with mock.patch.multiple(torch, float32=torch.float64, float=torch.float64), \
            mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            return run(model, calls, inputs, torch.float64)[0]
        finally:
            torch.set_default_dtype(default)

def rel_l2(x, ref):
    return float((x.double() - ref.double()).norm() / ref.double().norm())

def unused_parameters(model, calls, inputs, dtype):
    """Names of parameters without influence: by gradient for all of them, by a real nudge for ten."""
    outs, _ = run(model, calls, inputs, dtype)
    sum((o * torch.randn_like(o)).mean() / o.detach().std() for o in outs.values()).backward()
    params = dict(model.named_parameters())
    pull = {n: 0.0 if p.grad is None else float(p.grad.norm() * p.detach().norm()) for n, p in params.items()}
    floor = 1e-8 * statistics.median(pull.values())
    with torch.no_grad():
        for name in (list(params)[i] for i in torch.randint(len(params), (10,))):
            p, keep = params[name], params[name].clone()
            p.add_(0.05 * torch.randn_like(p) * p.square().mean().sqrt())
            nudged, _ = run(model, calls, inputs, dtype)
            p.copy_(keep)
            moved = max(rel_l2(nudged[k], outs[k].detach()) for k in outs)
            assert moved > 1e-7 or pull[name] <= floor, f"{name}: gradient but no effect"
    unused = [n for n, w in pull.items() if w <= floor]
    lost = [n for n in unused if not KEY_BIAS.search(n)]
    assert len(lost) <= 0.05 * len(params), f"{len(lost)} of {len(params)} parameters do nothing: {lost}"
    return unused

def make_case(name, out_dir, variant, seed):
    row, is_b = CASES[name], variant == "b"
    config = {**row["cfg"], **(row["b"] if is_b else {})}
    cls, make_config = row["cls"], getattr(row["cls"], "config_class", None)
    model = cls(make_config(**config)) if make_config else cls(**config)  # transformers or diffusers
    seed_for(seed, variant, name)
    randomise(model.eval(), row.get("tune", {}))
    stored = STORED.get(name, torch.bfloat16)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.to(stored))
    env = {**config, **{k: v[is_b] for k, v in row["size"].items()}}
    inputs = {k: torch.randn(eval(f"[{', '.join(v.split())}]", {}, env)) if isinstance(v, str) else v(env)
              for k, v in row["inputs"].items()}
    calls, folder = list(parse_calls(row.get("calls", "forward(*) -> sample"), inputs)), out_dir / name
    taps = [n for n, _ in model.named_modules() if TAPS.fullmatch(n)]
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, **row.get("save", {}))
    store(model, folder, stored)
    with torch.no_grad():
        out32, _ = run(model, calls, inputs, torch.float32)
        dtype, (out, tapped) = torch.float64, run(model.double(), calls, inputs, torch.float64, taps)
        wide = run_wide(model.double(), calls, inputs)
    for k, v in out.items():
        assert v.isfinite().all() and 0.05 < v.std() < 50, f"{name}.{k}: std {v.std():.3g}"
    unused = unused_parameters(model, calls, inputs, dtype)
    groups = {"in": inputs, "out": out, "out32": out32, "tap": tapped}
    save_file({f"{g}.{k}": (v.float() if v.is_floating_point() else v).contiguous().clone() for g in groups
               for k, v in groups[g].items()}, folder / "io.safetensors", {"format": "pt"})
    info = {"class": cls.__name__, "library": cls.__module__.split(".")[0], "versions": VERSIONS,
            "variant": variant, "seed": seed, "calls": calls, "reference": str(dtype)[6:], "stored": str(stored)[6:], "dtype_rule": DTYPE_RULE,
            "parameters": sum(p.numel() for p in model.parameters()), "tensors": len(list(model.parameters())),
            "rel_l2_out32": {k: rel_l2(out32[k], out[k]) for k in out},
            "rel_l2_wide": {k: rel_l2(wide[k], out[k]) for k in wide}, "taps": sorted(tapped), "unused": unused,
            "out_std": {k: round(float(v.std()), 4) for k, v in out.items()}, "notes": row.get("notes", "")}
    (folder / "case.json").write_text(json.dumps(info, indent=1) + "\n")
    worst = [max(info[k].values(), default=0) for k in ("rel_l2_out32", "rel_l2_wide")]
    print(f"{name:31s} {finish(folder):5.2f} MiB {info['parameters']:7d} params {info['reference']} rel_l2 {worst[0]:.1e} "
          f"wide {worst[1]:.1e} std {info['out_std']} unused {len(unused)}", flush=True)

def finish(folder):
    """Readable by all; size in MiB."""
    for f in folder.iterdir():
        f.chmod(0o644)
    return sum(f.stat().st_size for f in folder.iterdir()) / 2**20

# ------------------------------------------------------------------------------------------------ inputs
def steps(*values, dtype=torch.float32):
    return lambda e: torch.tensor(values, dtype=dtype)[: e["B"]]

UNIT = steps(0.75, 0.21875, 0.5)

def byte_ids(e):
    """Rows of ids with lengths L, padded with 0."""
    ids = torch.randint(3, 380, (len(e["L"]), max(e["L"])))
    for row, n in zip(ids, e["L"]):
        row[n:] = 0
    return ids

FLUX_IN = {"hidden_states": "B H*W in_channels", "encoder_hidden_states": "B S joint_attention_dim", "timestep": UNIT,
           "pooled_projections": "B pooled_projection_dim", "txt_ids": lambda e: torch.zeros(e["S"], 3),
           "img_ids": lambda e: FluxPipeline._prepare_latent_image_ids(1, e["H"], e["W"], "cpu", torch.float32)}

# ------------------------------------------------------------------------------------------------ cases
# Small inputs of a norm make its eps visible; what follows does not shrink.
QUIET = {r"^(x|context)_embedder": 0.05, r"blocks\.0\.attn\.(to|add)_[qk](\.|_proj)": 0.05}
T5_TUNE = {r"SelfAttention\.q\.weight": 0.25}  # T5 has no 1/sqrt(d) in its attention
text = dict(calls="forward(*) -> last_hidden_state", inputs={
    "input_ids": byte_ids, "attention_mask": lambda e: (torch.arange(max(e["L"])) < torch.tensor(e["L"])[:, None]).long()})
vae = dict(inputs={"sample": "*X", "latents": "*Z"}, calls=(
    "encode(x=sample) -> parameters=latent_dist.parameters mean=latent_dist.mean logvar=latent_dist.logvar;"
    "decode(z=latents) -> decoded=sample"))
flux = dict(in_channels=16, num_layers=2, num_single_layers=3, attention_head_dim=16, num_attention_heads=4, joint_attention_dim=40,
            pooled_projection_dim=24, guidance_embeds=True, axes_dims_rope=(4, 6, 6))
kl = dict(down_block_types=["DownEncoderBlock2D"] * 3, up_block_types=["UpDecoderBlock2D"] * 3, block_out_channels=(16, 24, 32),
          latent_channels=8, norm_num_groups=8, sample_size=64, scaling_factor=0.3611, shift_factor=0.1159)
kl4 = dict(down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, norm_num_groups=4)
t5 = dict(vocab_size=384, d_model=64, d_kv=16, d_ff=112, num_layers=3, num_heads=3, feed_forward_proj="gated-gelu")

# cls, cfg, b: class, configuration, what variant b changes. size: name -> (a, b). inputs: normal draws of that shape, or a function.
CASES = {
    "flux_dev": dict(
        cls=D.FluxTransformer2DModel, cfg=flux,
        b=dict(attention_head_dim=24, num_attention_heads=3, axes_dims_rope=(8, 8, 8), num_single_layers=2),
        size=dict(B=(2, 1), H=(5, 3), W=(7, 7), S=(11, 14)), inputs={**FLUX_IN, "guidance": steps(1.0, 0.375)}, tune=QUIET),
    "flux_schnell": dict(
        cls=D.FluxTransformer2DModel,
        b=dict(in_channels=24, out_channels=16, attention_head_dim=12, num_attention_heads=5, axes_dims_rope=(4, 4, 4)),
        cfg={**flux, "guidance_embeds": False, "attention_head_dim": 20, "num_attention_heads": 3, "axes_dims_rope": (4, 8, 8)},
        size=dict(B=(2, 1), H=(3, 5), W=(9, 5), S=(7, 10)), inputs=FLUX_IN,
        tune=QUIET, save=dict(max_shard_size="500KB"), notes="Sharded, with an index."),
    "autoencoder_kl_flux": dict(
        cls=D.AutoencoderKL, cfg={**kl, "use_quant_conv": False, "use_post_quant_conv": False},
        b={**kl4, "block_out_channels": (8, 16, 24, 36), "layers_per_block": 2, "latent_channels": 6}, **vae,
        size=dict(X=((2, 3, 26, 38), (1, 3, 40, 26)), Z=((2, 8, 5, 7), (1, 6, 3, 6)))),
    "autoencoder_kl_sdxl": dict(
        cls=D.AutoencoderKL, cfg={**kl, "latent_channels": 4, "scaling_factor": 0.13025, "shift_factor": None}, **vae,
        b={**kl4, "block_out_channels": (12, 12, 20, 28), "latent_channels": 3},
        size=dict(X=((2, 3, 32, 24), (3, 3, 24, 32)), Z=((2, 4, 7, 5), (3, 3, 4, 3)))),
    "t5_encoder": dict(
        cls=T.T5EncoderModel, cfg=t5, size=dict(L=((37, 22), (29, 8, 17))), **text, tune=T5_TUNE,
        b=dict(d_model=40, d_kv=12, num_heads=4, d_ff=72, num_layers=4, relative_attention_num_buckets=16,
               relative_attention_max_distance=24)),
}

# ------------------------------------------------------------------------------------------------ schedulers
SCHEDULER_NOTES = (
    "trajectory[0] = start. At step k (from 0) the model answers 0.3 x + 0.05 sin(k) for the sample x; "
    "trajectory[k + 1] is the sample after step k.")

def scheduler_runs(is_b):
    """(name, config of FlowMatchEulerDiscreteScheduler, keyword arguments of set_timesteps)"""
    counts = (7, 13, 30) if is_b else (4, 20, 28)
    for n, seq in zip(counts, (96, 768, 2304) if is_b else (35, 1024, 4096)):
        ramp = numpy.linspace(1.0, 1.0 / n, n).tolist()
        yield f"flow_shift3_{n}", dict(shift=3.0), dict(num_inference_steps=n)
        mu = calculate_shift(seq, 256, 4096, 0.5, 1.15)
        yield f"flow_flux_seq{seq}_{n}", dict(use_dynamic_shifting=True, shift=3.0), dict(sigmas=ramp, mu=mu)
        yield f"flow_schnell_{n}", dict(shift=1.0), dict(sigmas=ramp)

def trajectory(scheduler, start, timesteps):
    """[steps + 1, ...] samples under the model 0.3 x + 0.05 sin(k)"""
    scheduler.set_timesteps(**timesteps)
    path = [start]
    for k, t in enumerate(scheduler.timesteps):
        path.append(scheduler.step(0.3 * path[-1] + 0.05 * math.sin(k), t, path[-1], return_dict=False)[0])
    return torch.stack(path)

def make_schedulers(name, out_dir, variant, seed):
    seed_for(seed, variant, name)
    cls = D.FlowMatchEulerDiscreteScheduler
    runs, tensors = [], {"start": torch.randn((1, 3, 5, 2) if variant == "b" else (2, 4, 3, 5))}
    for run_name, config, timesteps in scheduler_runs(variant == "b"):
        scheduler = cls(**config)
        path = trajectory(scheduler, tensors["start"], timesteps)
        assert path.isfinite().all(), run_name
        found = {"timesteps": scheduler.timesteps, "trajectory": path, "sigmas": scheduler.sigmas}
        tensors.update({f"{run_name}.{k}": v.contiguous().clone() for k, v in found.items()})
        runs.append({"name": run_name, "class": cls.__name__, "config": json.loads(scheduler.to_json_string()),
                     "set_timesteps": timesteps, "steps": len(path) - 1})
    (out_dir / name).mkdir(parents=True, exist_ok=True)
    save_file(tensors, out_dir / name / "io.safetensors", {"format": "pt"})
    info = {"class": name, "versions": VERSIONS, "variant": variant, "seed": seed, "reference": "float32",
            "notes": SCHEDULER_NOTES, "runs": runs}
    (out_dir / name / "case.json").write_text(json.dumps(info, indent=1) + "\n")
    print(f"{name:31s} {finish(out_dir / name):5.2f} MiB {len(runs)} runs")

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out_dir", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variant", choices="ab", default="a")
    parser.add_argument("--only", help="comma-separated case names")
    args = parser.parse_args()
    torch.set_num_threads(1)
    D.logging.set_verbosity_error()
    T.logging.set_verbosity_error()
    T.logging.disable_progress_bar()
    for name in args.only.split(",") if args.only else [*CASES, "schedulers"]:
        (make_case if name in CASES else make_schedulers)(name, args.out_dir, args.variant, args.seed)

if __name__ == "__main__":
    main()