"""Writes codec.safetensors: what other implementations make of every number format.

    python make_codec_goldens.py [OUT]   # numpy 2.4.6, ml_dtypes 0.6.0, safetensors 0.8.0

For each format F: F.decode, the value of every code (formats of 16 bits: F.decode_hash, FNV-1a of
the float32 bytes of all values, with every NaN as 0x7fc00000), and F.x, F.code: values and the
codes they are rounded to. The values are every representable one, the midpoint of every two
neighbours and the floats just below and above it (16-bit formats: of a sample of codes), zeros,
infinities, NaN where the format has one, overflow, float32 subnormals, and random floats over all
magnitudes.

Witnesses: ml_dtypes for e4m3 e5m2 e3m2 e2m1 e8m0 bf16, numpy for f16. ml_dtypes has no e2m2: its
reference here is the nearest of the list of its 32 values, ties to the even code, saturating.
i8 to i2 and u8 to u1: numpy's rint and clip (ml_dtypes truncates when it converts to int4).
Codes are what the witness says, also where Octavo saturates and ml_dtypes does not; the test states
those differences.
"""
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

F32 = np.float32
FORMATS = {
    "f16": np.float16, "bf16": ml_dtypes.bfloat16, "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2, "e3m2": ml_dtypes.float6_e3m2fn, "e2m2": None,
    "e2m1": ml_dtypes.float4_e2m1fn, "e8m0": ml_dtypes.float8_e8m0fnu, "i8": None, "i4": None,
}
BITS = {"f16": 16, "bf16": 16, "e3m2": 6, "e2m2": 5, "e2m1": 4}
INTEGERS = ["i8", "i4", "i7", "i6", "i5", "i3", "i2", *(f"u{bits}" for bits in range(8, 0, -1))]
FORMATS.update(dict.fromkeys(INTEGERS))
BITS.update({name: int(name[1:]) for name in INTEGERS})
NO_NAN = {"e3m2", "e2m2", "e2m1", *INTEGERS}


def e2m2_values():
    code = np.arange(32)
    exponent, mantissa = code >> 2 & 3, code & 3
    magnitude = np.where(exponent == 0, mantissa / 4, (1 + mantissa / 4) * 2.0 ** (exponent - 1))
    return np.where(code < 16, magnitude, -magnitude).astype(F32)


def nearest_e2m2(x):
    grid = e2m2_values()[:16].astype(np.float64)
    magnitude = np.minimum(np.abs(x.astype(np.float64)), grid[-1])
    distance = np.abs(magnitude[:, None] - grid[None])
    nearest = distance == distance.min(1, keepdims=True)  # one code, or two neighbours
    first, last = nearest.argmax(1), 15 - nearest[:, ::-1].argmax(1)
    code = np.where(first % 2 == 0, first, last)
    return (code | np.where(np.signbit(x), 16, 0)).astype(np.uint8)


def decode(name):
    bits = BITS.get(name, 8)
    if name == "e2m2":
        return e2m2_values()
    if name in INTEGERS:
        codes = np.arange(1 << bits)
        negative = codes >> (bits - 1) if name[0] == "i" else 0 * codes
        return np.where(negative, codes - (1 << bits), codes).astype(F32)
    codes = np.arange(1 << bits, dtype=np.uint16 if bits == 16 else np.uint8)
    return codes.view(FORMATS[name]).astype(F32)


def encode(name, x):
    bits = BITS.get(name, 8)
    if name == "e2m2":
        return nearest_e2m2(x)
    if name in INTEGERS:
        low = -(1 << (bits - 1)) if name[0] == "i" else 0
        code = np.clip(np.rint(x), low, low + (1 << bits) - 1).astype(np.int32) & ((1 << bits) - 1)
        return code.astype(np.uint8)
    with np.errstate(all="ignore"):
        codes = x.astype(FORMATS[name])
    return codes.view(np.uint16 if bits == 16 else np.uint8)


def inputs(name, values, rng):
    finite = np.unique(values[np.isfinite(values)]).astype(np.float64)
    if len(finite) > 256:
        n = len(finite)
        pick = np.unique(np.r_[0:40, rng.integers(0, n - 1, 400), n - 40:n])
        pick = np.unique(np.r_[pick, n // 2 + np.arange(-20, 20)])
        neighbours = pick[:-1]
    else:
        pick, neighbours = np.arange(len(finite)), np.arange(len(finite) - 1)
    ties = ((finite[neighbours] + finite[neighbours + 1]) / 2).astype(F32)
    top = finite[-1]
    half_above = F32(top + (top - finite[-2]) / 2)  # where IEEE formats begin to overflow
    beyond = [half_above, np.nextafter(half_above, F32(0)), np.nextafter(half_above, F32(np.inf))]
    beyond += [top * f for f in (1.01, 1.1, 1.25, 1.4999999, 1.5, 1.9, 4)]
    special = [0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 1e-40, -1e-39, 2.0**-126, 3.4e38, -3.4e38]
    special += [b * s for b in beyond if b < 3.4e38 for s in (1, -1)]
    special += [] if name in NO_NAN else [np.nan, -np.nan]
    bits = rng.integers(0, 2**32, 500, dtype=np.uint32).view(F32)
    spread = np.ldexp(rng.standard_normal(1500), rng.integers(-18, 18, 1500)).astype(F32)
    if name in INTEGERS[2:]:  # one of them alike is enough
        spread = spread[:700]
    x = np.concatenate([finite[pick].astype(F32), ties, np.nextafter(ties, F32(-np.inf)),
                        np.nextafter(ties, F32(np.inf)), np.array(special, F32), bits, spread])
    return x[~np.isnan(x)] if name in NO_NAN else x


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def main(out):
    rng = np.random.default_rng(20)
    tensors = {}
    for name in FORMATS:
        values = decode(name)
        if len(values) > 256:
            canonical = np.where(np.isnan(values), F32(np.nan), values).astype(F32)
            decode_hash = np.array([fnv1a(canonical.tobytes())], np.uint64)
            tensors[f"{name}.decode_hash"] = decode_hash.view(np.int64)
        else:
            tensors[f"{name}.decode"] = values
        x = inputs(name, values, rng)
        code = encode(name, x)
        tensors[f"{name}.x"] = x
        tensors[f"{name}.code"] = code.astype(np.int32 if BITS.get(name) == 16 else np.uint8)
    made = f"numpy {np.__version__}, ml_dtypes {ml_dtypes.__version__}"
    save_file(tensors, out, {"made_with": made})
    print(out, sum(t.nbytes for t in tensors.values()), "bytes")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("codec.safetensors"))
