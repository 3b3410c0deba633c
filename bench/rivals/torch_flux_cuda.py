"""PyTorch's side of the GPU benchmark: FLUX.1-dev's transformer at its real size, random weights.

    python torch_flux_cuda.py --modes compile,eager,fp8row --runs 20 --cache /var/tmp/inductor --json OUT.json

Needs torch, diffusers, torchao, accelerate (measured with 2.11.0, 0.38.0, 0.17.0). A step is one call of the
model at batch 1 with 4096 picture and 512 text tokens (1024 x 1024), timed by CUDA events, warm. Modes:
  eager    bf16, no compilation
  compile  bf16, torch.compile of the repeated blocks (--whole: of the whole model, minutes longer)
  fp8row   torchao float8 dynamic activations and weights, one scale a row, with the same compilation
Compiling by blocks is three compilations whatever the mode (the double block, the single block, the single
block again because its second call has another stride); --cache keeps them for the next process. Every stage
prints when it was done, and where it is when it takes longer than --stacks seconds (dumps of threads that
run may crash the interpreter). torchao's quantize_ turns inductor's coordinate descent on for the rest of the
process: fp8row comes last, and takes 200 s where --cache holds nothing yet. `--device cpu --small` tries the
script itself on a machine without a GPU (torchao's fp8row needs one of compute capability 8.9).
"""
import argparse
import faulthandler
import json
import os
import statistics
import sys
import time

START = time.time()


def say(text):
    print(f"[{time.time() - START:7.1f} s] {text}", flush=True)


CONFIG = dict(patch_size=1, in_channels=64, num_layers=19, num_single_layers=38, attention_head_dim=128,
              num_attention_heads=24, joint_attention_dim=4096, pooled_projection_dim=768,
              guidance_embeds=True, axes_dims_rope=(16, 56, 56))
SMALL = dict(CONFIG, num_layers=2, num_single_layers=4, num_attention_heads=2)


def make_model(config, device):
    from diffusers import FluxTransformer2DModel
    with torch.device("meta"):
        model = FluxTransformer2DModel(**config)
    model = model.to(torch.bfloat16).to_empty(device=device).eval().requires_grad_(False)
    generator = torch.Generator(device).manual_seed(0)
    for name, p in model.named_parameters():
        if p.ndim == 1 and name.endswith("weight"):
            p.fill_(1)
        else:
            p.normal_(0, 0.02, generator=generator)
    return model


def make_inputs(batch, device, picture, text):
    bf16 = dict(device=device, dtype=torch.bfloat16)
    side = int(picture ** 0.5)
    ids = torch.zeros(side, side, 3, **bf16)
    ids[..., 1] = torch.arange(side, device=device)[:, None]
    ids[..., 2] = torch.arange(side, device=device)[None, :]
    return dict(hidden_states=torch.randn(batch, picture, 64, **bf16),
                encoder_hidden_states=torch.randn(batch, text, 4096, **bf16),
                pooled_projections=torch.randn(batch, 768, **bf16),
                timestep=torch.full((batch,), 0.5, **bf16), guidance=torch.full((batch,), 3.5, **bf16),
                img_ids=ids.reshape(-1, 3), txt_ids=torch.zeros(text, 3, **bf16), return_dict=False)


def milliseconds_of(call, device):
    if device == "cpu":
        start = time.perf_counter()
        call()
        return 1e3 * (time.perf_counter() - start)
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def time_step(model, inputs, runs, device):
    for i in range(3):
        milliseconds_of(lambda: model(**inputs), device)
        say(f"  call {i}")
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    ms = [milliseconds_of(lambda: model(**inputs), device) for _ in range(runs)]
    q = statistics.quantiles(ms, n=4)
    return {"median_ms": statistics.median(ms), "q1_ms": q[0], "q3_ms": q[2],
            "peak_bytes": torch.cuda.max_memory_allocated() if device != "cpu" else 0}


def quantize(model):
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_

    def blocks_only(module, name):
        return isinstance(module, torch.nn.Linear) and "transformer_blocks" in name and ".norm" not in name
    quantize_(model, Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()), blocks_only)


def compiled(model, whole):
    if whole:
        return torch.compile(model)
    model.compile_repeated_blocks(fullgraph=True)
    return model


def measure(mode, args):
    torch._dynamo.reset()
    torch.cuda.empty_cache()  # nothing without a GPU
    start, tokens = time.time(), (64, 16) if args.small else (4096, 512)
    say(f"{mode}: begins")
    model = make_model(SMALL if args.small else CONFIG, args.device)
    say("  model")
    if mode == "fp8row":
        quantize(model)
        torch.cuda.empty_cache()
        say("  quantized")
    if mode != "eager":
        model = compiled(model, args.whole)
    row = time_step(model, make_inputs(args.batch, args.device, *tokens), args.runs, args.device)
    row["ready_s"] = time.time() - start
    print(f"{mode:8s} step {row['median_ms']:8.2f} ms  [{row['q1_ms']:.2f}, {row['q3_ms']:.2f}]  "
          f"ready after {row['ready_s']:.0f} s, peak of the steps {row['peak_bytes'] / 1e9:.1f} GB",
          flush=True)
    return row


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", default="compile,eager,fp8row")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--whole", action="store_true", help="compile the whole model, not its blocks")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--small", action="store_true", help="2 + 4 blocks of 2 heads, 64 + 16 tokens")
    parser.add_argument("--cache", help="folder for compiled kernels, kept for the next process")
    parser.add_argument("--stacks", type=float, default=0, help="print where it is every so many seconds")
    parser.add_argument("--json")
    return parser.parse_args()


def main():
    args = parse()
    if args.cache:  # read when torch is imported
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(args.cache, "inductor")
        os.environ["TRITON_CACHE_DIR"] = os.path.join(args.cache, "triton")
    if args.stacks:
        faulthandler.dump_traceback_later(args.stacks, repeat=True, file=sys.stdout)
    global torch
    import torch
    say(f"torch {torch.__version__}")
    results = {"torch": torch.__version__, "batch": args.batch}
    results["device"] = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    with torch.no_grad():
        for mode in args.modes.split(","):
            results[mode] = measure(mode, args)
            if args.json:  # after every mode: whoever cuts the run short keeps what there is
                with open(args.json, "w") as file:
                    json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
