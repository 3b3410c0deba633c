#!/usr/bin/env python3
"""Peak memory and time of quantizing a random checkpoint of Flux shape (about 2 GB in bfloat16).

    bench/quantize_memory.py [--octavo build/octavo] [--scheme int8wo] [--folder DIR]

Prints the process's peak resident set beside its bound: the output file plus the largest tensor. Standard library and numpy only.
"""
import argparse
import json
import os
import pathlib
import struct
import tempfile
import time

import numpy as np

CONFIG = {"_class_name": "FluxTransformer2DModel", "patch_size": 1, "in_channels": 64, "num_layers": 1, "num_single_layers": 4, "attention_head_dim": 128,
          "num_attention_heads": 24, "joint_attention_dim": 4096, "pooled_projection_dim": 768, "guidance_embeds": True, "axes_dims_rope": [16, 56, 56]}


def shapes():
    d, out = 3072, {}

    def linear(name, n, k):
        out[f"{name}.weight"], out[f"{name}.bias"] = [n, k], [n]

    linear("x_embedder", d, 64)
    linear("context_embedder", d, 4096)
    for part, k in (("timestep", 256), ("guidance", 256), ("text", 768)):
        linear(f"time_text_embed.{part}_embedder.linear_1", d, k)
        linear(f"time_text_embed.{part}_embedder.linear_2", d, d)
    for i in range(CONFIG["num_layers"]):
        p = f"transformer_blocks.{i}"
        for name in ("norm1", "norm1_context"):
            linear(f"{p}.{name}.linear", 6 * d, d)
        for name in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0", "to_add_out"):
            linear(f"{p}.attn.{name}", d, d)
        for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            out[f"{p}.attn.{name}.weight"] = [128]
        for name in ("ff", "ff_context"):
            linear(f"{p}.{name}.net.0.proj", 4 * d, d)
            linear(f"{p}.{name}.net.2", d, 4 * d)
    for i in range(CONFIG["num_single_layers"]):
        p = f"single_transformer_blocks.{i}"
        linear(f"{p}.norm.linear", 3 * d, d)
        for name in ("to_q", "to_k", "to_v"):
            linear(f"{p}.attn.{name}", d, d)
        for name in ("norm_q", "norm_k"):
            out[f"{p}.attn.{name}.weight"] = [128]
        linear(f"{p}.proj_mlp", 4 * d, d)
        linear(f"{p}.proj_out", d, 5 * d)
    linear("norm_out.linear", 2 * d, d)
    linear("proj_out", 64, d)
    return out


def write_checkpoint(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    header, offset = {}, 0
    for name, shape in shapes().items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = np.random.default_rng(0)
    with open(folder / "diffusion_pytorch_model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape in shapes().values():
            values = rng.standard_normal(int(np.prod(shape)), dtype=np.float32) * np.float32(0.02)
            file.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    return offset


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--octavo", default="build/octavo")
    parser.add_argument("--scheme", default="int8wo")
    parser.add_argument("--folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        model, output = pathlib.Path(scratch) / "flux", pathlib.Path(scratch) / "out.safetensors"
        size = write_checkpoint(model)
        start = time.perf_counter()
        pid = os.spawnlp(os.P_NOWAIT, args.octavo, args.octavo, "-q", "quantize", str(model), "--scheme", args.scheme, "-o", str(output))
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - start
        assert os.waitstatus_to_exitcode(status) == 0, "quantize failed"
        largest = max(2 * int(np.prod(s)) for s in shapes().values())
        bound, peak = output.stat().st_size + largest, usage.ru_maxrss * 1024
        print(f"checkpoint {size / 1e9:.2f} GB, output {output.stat().st_size / 1e9:.2f} GB, largest tensor {largest / 1e6:.0f} MB")
        print(f"{args.scheme}: {seconds:.1f} s, peak {peak / 1e6:.0f} MB, bound {bound / 1e6:.0f} MB: {'within' if peak <= bound else 'OVER'}")


if __name__ == "__main__":
    main()
