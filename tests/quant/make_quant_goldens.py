#!/usr/bin/env python3
"""Writes golden/weights.safetensors: dequantized weights of two linears of zoo/emoji under several
schemes, quantized in PyTorch. Only the first rows of each are kept; scales come from whole tensors.

    python tests/quant/make_quant_goldens.py

Made with torch 2.15, ml_dtypes 0.6, safetensors 0.8. torch has float8_e4m3fn; e3m2 and e2m1 are rounded
by ml_dtypes, e2m2 (which no library has) to the nearest of its values, ties to the even code.
"""
from pathlib import Path

import ml_dtypes
import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
MODEL = HERE.parent.parent / "zoo/emoji/transformer/diffusion_pytorch_model.safetensors"
LAYERS = {"transformer_blocks.0.attn.to_q": 16, "single_transformer_blocks.3.proj_out": 4}


def scale(absmax, top, dtype=torch.float32):
    return (absmax.clamp(min=1e-12) / top).to(dtype).float()


def row(w):
    return w.abs().amax(-1, keepdim=True)


def integers(w, s, top):
    codes = (w / s).round().clamp(-top - 1, top).int()  # integers have one zero
    return codes.float() * s


def e4m3(w, s):
    return (w / s).clamp(-448, 448).to(torch.float8_e4m3fn).float() * s


def library(w, s, dtype):
    codes = (w / s).numpy().astype(dtype)
    return torch.from_numpy(codes.astype("float32")) * s


def e2m2(w, s):
    """Exponent bias 1, no infinity: 0, 1/4 ... 3/4 (subnormal), then (1 + m/4) 2^(e-1) to 7."""
    grid = torch.tensor([m / 4 for m in range(4)] + [(1 + m / 4) * 2.0 ** (e - 1)
                                                     for e in range(1, 4) for m in range(4)])
    x = (w / s).abs().clamp(max=7)
    below = torch.searchsorted(grid, x, right=True) - 1
    above = (below + 1).clamp(max=15)
    down, up = x - grid[below], grid[above] - x
    code = torch.where((up < down) | ((up == down) & (below % 2 == 1)), above, below)
    return grid[code] * torch.sign(w / s) * s


def groups(w, size):
    return w.view(len(w), -1, size)


SCHEMES = {
    "int8wo": lambda w: integers(w, scale(row(w), 127), 127),
    "fp8wo": lambda w: e4m3(w, scale(row(w), 448)),
    "int4wo": lambda w: integers(groups(w, 64), scale(row(groups(w, 64)), 7, torch.float16), 7).view_as(w),
    "fp8dq": lambda w: e4m3(w, scale(w.abs().max(), 448)),
    "fp6_e3m2": lambda w: library(w, scale(row(w), 28), ml_dtypes.float6_e3m2fn),
    "fp5_e2m2": lambda w: e2m2(w, scale(row(w), 7)),
    "fp4_e2m1": lambda w: library(w, scale(row(w), 6), ml_dtypes.float4_e2m1fn),
}


def main():
    weights = load_file(MODEL)
    golden = {}
    for layer, rows in LAYERS.items():
        w = weights[layer + ".weight"].float()
        for name, emulate in SCHEMES.items():
            golden[f"{name}/{layer}"] = emulate(w)[:rows].contiguous()
    (HERE / "golden").mkdir(exist_ok=True)
    path = HERE / "golden/weights.safetensors"
    save_file(golden, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
