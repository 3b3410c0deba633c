"""PyTorch's side of the GPU benchmark: FLUX.1-dev's transformer at its real size, random weights.

    python torch_flux_cuda.py --modes eager,compile,fp8row --runs 20 --json OUT.json

Needs torch, diffusers, torchao, accelerate (measured with 2.11.0, 0.38.0, 0.17.0). A step is one call of the
model at batch 1 with 4096 picture and 512 text tokens (1024 x 1024), timed by CUDA events, warm. Modes:
  eager    bf16, no compilation
  compile  bf16, torch.compile of the repeated blocks (--whole: of the whole model, minutes longer)
  fp8row   torchao float8 dynamic activations and weights, one scale a row, with the same compilation
"""
import argparse
import json
import statistics
import time

import torch
from diffusers import FluxTransformer2DModel

CONFIG = dict(patch_size=1, in_channels=64, num_layers=19, num_single_layers=38, attention_head_dim=128,
              num_attention_heads=24, joint_attention_dim=4096, pooled_projection_dim=768,
              guidance_embeds=True, axes_dims_rope=(16, 56, 56))


def make_model():
    with torch.device("meta"):
        model = FluxTransformer2DModel(**CONFIG)
    model = model.to(torch.bfloat16).to_empty(device="cuda").eval().requires_grad_(False)
    generator = torch.Generator("cuda").manual_seed(0)
    for name, p in model.named_parameters():
        if p.ndim == 1 and name.endswith("weight"):
            p.fill_(1)
        else:
            p.normal_(0, 0.02, generator=generator)
    return model


def make_inputs(batch, picture=4096, text=512):
    bf16 = dict(device="cuda", dtype=torch.bfloat16)
    side = int(picture ** 0.5)
    ids = torch.zeros(side, side, 3, **bf16)
    ids[..., 1] = torch.arange(side, device="cuda")[:, None]
    ids[..., 2] = torch.arange(side, device="cuda")[None, :]
    return dict(hidden_states=torch.randn(batch, picture, 64, **bf16),
                encoder_hidden_states=torch.randn(batch, text, 4096, **bf16),
                pooled_projections=torch.randn(batch, 768, **bf16),
                timestep=torch.full((batch,), 0.5, **bf16), guidance=torch.full((batch,), 3.5, **bf16),
                img_ids=ids.reshape(-1, 3), txt_ids=torch.zeros(text, 3, **bf16), return_dict=False)


def time_step(model, inputs, runs):
    for _ in range(3):
        model(**inputs)
    torch.cuda.synchronize()
    ms = []
    for _ in range(runs):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        model(**inputs)
        end.record()
        end.synchronize()
        ms.append(begin.elapsed_time(end))
    q = statistics.quantiles(ms, n=4)
    return {"median_ms": statistics.median(ms), "q1_ms": q[0], "q3_ms": q[2]}


def compiled(model, whole):
    if whole:
        return torch.compile(model)
    model.compile_repeated_blocks(fullgraph=True)
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--modes", default="eager,compile,fp8row")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--json")
    args = parser.parse_args()
    results = {"torch": torch.__version__, "device": torch.cuda.get_device_name()}
    with torch.inference_mode(False), torch.no_grad():
        for mode in args.modes.split(","):
            torch._dynamo.reset()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            start = time.time()
            model = make_model()
            if mode == "fp8row":
                from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_
                def blocks_only(module, name):
                    return isinstance(module, torch.nn.Linear) and "transformer_blocks" in name and ".norm" not in name
                quantize_(model, Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()), blocks_only)
            if mode != "eager":
                model = compiled(model, args.whole)
            row = time_step(model, make_inputs(args.batch), args.runs)
            row["ready_s"] = time.time() - start
            row["peak_bytes"] = torch.cuda.max_memory_allocated()
            results[mode] = row
            print(f"{mode:8s} step {row['median_ms']:8.2f} ms  [{row['q1_ms']:.2f}, {row['q3_ms']:.2f}]  "
                  f"ready after {row['ready_s']:.0f} s, peak {row['peak_bytes'] / 1e9:.1f} GB", flush=True)
            del model
    if args.json:
        with open(args.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
