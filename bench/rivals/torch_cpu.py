"""PyTorch's side of the CPU benchmark: the emoji model in float32, as zoo/reference.py runs it.

    python torch_cpu.py FOLDER --threads 2 --runs 30 --json OUT.json

Needs torch, diffusers, transformers, safetensors, pillow (measured with 2.15.0, 0.42.1, 5.23.0). A step is the guided pair as one batch of 2;
'picture' is reference.py's own sampler (two calls a step), prompt to PNG bytes.
"""
import argparse
import io
import json
import pathlib
import statistics
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "zoo"))
from reference import Emoji  # noqa: E402


def quartiles(seconds):
    q = statistics.quantiles(seconds, n=4)
    return {"median_ms": statistics.median(seconds) * 1e3, "q1_ms": q[0] * 1e3, "q3_ms": q[2] * 1e3}


def time_it(runs, body):
    for _ in range(3):
        body()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        body()
        seconds.append(time.perf_counter() - start)
    return quartiles(seconds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    model = Emoji(args.folder)
    noise = torch.randn(1, 64, 32, generator=torch.Generator().manual_seed(0))
    states, pooled = model.encode(["rocket", ""])
    pair = noise.expand(2, -1, -1).contiguous()

    def picture():
        from PIL import Image
        x = model.sample(["rocket"], noise)[0]
        pixels = ((x / 2 + 0.5) * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(io.BytesIO(), format="PNG")

    out = {
        "torch": torch.__version__,
        "threads": args.threads,
        "step": time_it(args.runs, lambda: model.velocity(pair, 0.5, (states, pooled))),
        "decode": time_it(max(3, args.runs // 5), lambda: model.decode(noise)),
        "picture": time_it(max(3, args.runs // 10), picture),
    }
    pathlib.Path(args.json).write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
