"""Writes quantize.safetensors: what numpy makes of a few tensors under a few QuantSpecs.

    python make_quantize_goldens.py [OUT]   # numpy 2.4.6, ml_dtypes 0.6.0, safetensors 0.8.0

Case N: N.x the source, N.codes (packed as Octavo packs), N.scale, N.zero_point; the metadata's
"cases" lists spec, view, shape and type. The arithmetic is that of zoo/sensitivity.py (int8:
absmax / 127, clamp to [-128, 127]; int4: absmax / 7, clamp to [-8, 7]; floats: absmax / largest
value, saturating; round half even; x / s by division), in float32, written here over whole arrays
and with ml_dtypes' rounding, so that it shares nothing with the C++ code.
"""
import json
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from make_codec_goldens import nearest_e2m2

F32 = np.float32
TYPES = {
    "f32": F32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2, "e3m2": ml_dtypes.float6_e3m2fn,
    "e2m1": ml_dtypes.float4_e2m1fn, "e8m0": ml_dtypes.float8_e8m0fnu,
}
TOP = {"e4m3": 448, "e5m2": 57344, "e3m2": 28, "e2m2": 7, "e2m1": 6, "i8": 127, "i4": 7}
BITS = {"e3m2": 6, "e2m2": 5, "e2m1": 4, **{f"{s}{b}": b for s in "iu" for b in range(1, 8)}}
TOP.update({f"i{bits}": 2 ** (bits - 1) - 1 for bits in range(2, 8)})
CASES = [  # spec, view, shape, stored type of the source
    ("i8/1x*/static/f32", "weight", (5, 96), "f32"),
    ("i8/*x*/static/f32", "weight", (5, 96), "bf16"),
    ("i8/1x*/dynamic/f32", "activation", (2, 3, 40), "f32"),
    ("i8/1x*/dynamic/f32/zp", "activation", (2, 3, 40), "bf16"),
    ("i8/*x*/static/f32", "weight", (6, 5, 3, 3), "f16"),
    ("e4m3/1x*/static/f32", "weight", (7, 80), "bf16"),
    ("e4m3/*x*/dynamic/f32", "activation", (4, 33), "f16"),
    ("e4m3/4x16/static/bf16", "weight", (10, 48), "f32"),
    ("e4m3/1x32/dynamic/e8m0", "activation", (3, 128), "bf16"),
    ("e5m2/1x*/static/f16", "weight", (4, 50), "f32"),
    ("e3m2/1x*/static/f32", "weight", (5, 31), "bf16"),
    ("e2m2/1x*/static/f32", "weight", (5, 31), "bf16"),
    ("e2m1/1x32/static/f16", "weight", (4, 64), "bf16"),
    ("e2m1/1x16/static/e4m3", "weight", (4, 64), "f32"),
    ("i4/1x64/static/f16", "weight", (6, 128), "bf16"),
    ("i4/1x128/static/f16/zp", "weight", (6, 256), "f32"),
    ("i4/1x*/static/f32", "weight", (6, 4, 3, 3), "f32"),
    ("i4/1x*/static/f32", "weight", (1, 5), "f32"),
    ("i7/1x*/static/f32", "weight", (5, 31), "bf16"),
    ("i6/1x64/static/f16", "weight", (5, 128), "bf16"),
    ("i5/1x64/static/f16", "weight", (5, 128), "bf16"),
    ("i5/*x*/dynamic/f32", "activation", (2, 3, 13), "f32"),
    ("i3/1x16/static/f16", "weight", (4, 5, 4, 4), "f32"),
    ("i2/1x16/static/f16", "weight", (4, 48), "f32"),
    ("i3/1x64/static/f16/zp", "weight", (4, 128), "f32"),
    *((f"u{bits}/1x64/static/f16/zp", "weight", (4, 64), "bf16") for bits in range(8, 0, -1)),
    ("u3/1x*/static/f32/zp", "weight", (4, 3, 3, 3), "f32"),
    ("e4m3/1x32/static/mx", "weight", (5, 96), "bf16"),
    ("e5m2/1x32/static/mx", "weight", (5, 96), "f32"),
    ("e3m2/1x32/static/mx", "weight", (5, 96), "bf16"),
    ("e2m1/1x32/dynamic/mx", "activation", (2, 3, 64), "f32"),
    ("i8/1x32/static/mx", "weight", (5, 64), "f32"),
    ("e2m1/1x16/static/e4m3*f32", "weight", (5, 96), "bf16"),
    ("e2m1/1x16/static/e4m3*f32", "weight", (1, 32), "f32"),
    ("e2m1/1x16/dynamic/e4m3*f32", "activation", (2, 3, 48), "f32"),
]


def source(rng, shape, stored):
    x = rng.standard_t(4, shape) * 0.05
    flat = x.reshape(shape[0], -1)
    if shape[0] > 3:
        flat[1] = 0
        flat[2, 0] = 6e4
        flat[3, 1:4] = [1e-40, -1e-7, 3e-6]
    return x.astype(TYPES[stored])


def to_scale(name, s):
    if name == "e8m0":  # the next power of two
        mantissa, exponent = np.frexp(s)
        s = np.ldexp(F32(1), np.where(mantissa == 0.5, exponent - 1, exponent))
    smallest = {"f32": 0, "e8m0": 0, "f16": 2.0**-24, "bf16": 0, "e4m3": 2.0**-9}[name]
    s = np.minimum(s, F32(ml_dtypes.finfo(TYPES[name]).max))
    return np.maximum(s.astype(TYPES[name]).astype(F32), F32(smallest))


def lowest_code(name):
    return -(1 << (BITS.get(name, 8) - 1)) if name[0] == "i" else 0


def to_codes(name, x):
    """float values on or off the grid -> one code a byte"""
    bits = BITS.get(name, 8)
    if name[0] in "iu":
        low = lowest_code(name)
        code = np.clip(np.rint(x), low, low + 2**bits - 1).astype(np.int32) & (2**bits - 1)
        return code.astype(np.uint8)
    x = np.clip(x, -TOP[name], TOP[name])
    if name == "e2m2":
        return nearest_e2m2(x.ravel()).reshape(x.shape)
    return x.astype(TYPES[name]).view(np.uint8)


def pack(codes, bits):
    """each row of the last axis as a little-endian bit stream"""
    stream = (codes[..., None] >> np.arange(bits) & 1).reshape(*codes.shape[:-1], -1)
    return np.packbits(stream.astype(np.uint8), axis=-1, bitorder="little")


def tiles(matrix, tile):
    """(row tiles, col tiles, rows of a tile, cols of a tile); the last row repeated: no new range"""
    rows, cols = matrix.shape
    r = rows if tile[0] == "*" else int(tile[0])
    c = cols if tile[1] == "*" else int(tile[1])
    padded = np.concatenate([matrix, np.repeat(matrix[-1:], -rows % r, 0)])
    return padded.reshape(-1, r, cols // c, c).swapaxes(1, 2)


def quantize(spec, view, x):
    name, tile, _, scale_name, *zp = spec.split("/")
    matrix = x.astype(F32).reshape((x.shape[0], -1) if view == "weight" else (-1, x.shape[-1]))
    t = tiles(matrix, tile.split("x"))
    floor, bits, out = F32(1e-12), BITS.get(name, 8), {}
    if zp:
        low, high = np.minimum(t.min((2, 3)), 0), np.maximum(t.max((2, 3)), 0)
        scale = to_scale(scale_name, np.maximum(high - low, floor) / F32(2**bits - 1))
        lowest = lowest_code(name)
        zero = np.clip(lowest - np.rint(low / scale), lowest, lowest + 2**bits - 1)
        out["zero_point"] = zero.astype(F32)
        codes = np.rint(t / scale[..., None, None]) + zero[..., None, None]
    elif scale_name == "mx":
        # OCP Microscaling Formats v1.0, 6.3: the largest power of two of the tile by the format's
        power = np.frexp(np.maximum(np.abs(t).max((2, 3)), floor))[1] - np.frexp(F32(TOP[name]))[1]
        scale = np.ldexp(F32(1), power).astype(F32)
        scale_name, codes = "e8m0", t / scale[..., None, None]
    elif scale_name == "e4m3*f32":
        # Model-Optimizer's NVFP4QTensor (modelopt/torch/quantization/qtensor/nvfp4_tensor.py)
        whole = F32(max(np.abs(t).max(), floor)) / F32(6.0 * 448.0)
        blocks = np.abs(t).max((2, 3)) / (F32(6) * whole)
        blocks[blocks == 0] = 1
        blocks = np.clip(blocks, F32(2.0**-9), F32(448)).astype(TYPES["e4m3"])
        out["tensor_scale"] = whole.reshape(1, 1)
        scale_name, scale = "e4m3", blocks.astype(F32)
        codes = t / (scale * whole)[..., None, None]
    else:
        scale = to_scale(scale_name, np.maximum(np.abs(t).max((2, 3)), floor) / F32(TOP[name]))
        codes = t / scale[..., None, None]
    assert scale.dtype == F32 and codes.dtype == F32
    codes = to_codes(name, codes).swapaxes(1, 2).reshape(-1, matrix.shape[1])[: len(matrix)]
    codes = codes.reshape(x.shape)
    stored = scale.astype(TYPES[scale_name])
    raw = {"f16": np.uint16, "bf16": np.uint16, "f32": F32}.get(scale_name, np.uint8)
    out["codes"] = codes if bits == 8 else pack(codes, bits)
    out["scale"] = stored.view(raw).view(np.uint8)
    return out


def main(out):
    rng = np.random.default_rng(21)
    tensors, cases = {}, []
    for n, (spec, view, shape, stored) in enumerate(CASES):
        x = source(rng, shape, stored)
        # Sources travel as bytes and the name of their type: safetensors' numpy writer has no bf16.
        tensors[f"{n}.x"] = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
        for key, value in quantize(spec, view, x).items():
            tensors[f"{n}.{key}"] = np.ascontiguousarray(value)
        cases.append({"spec": spec, "view": view, "shape": shape, "type": stored})
    made = f"numpy {np.__version__}, ml_dtypes {ml_dtypes.__version__}"
    save_file(tensors, out, {"about": json.dumps({"made_with": made, "cases": cases})})
    print(out, sum(t.nbytes for t in tensors.values()), "bytes")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("quantize.safetensors"))
