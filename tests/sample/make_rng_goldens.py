"""Golden noise: what torch.randn gives on the CPU, and Philox normals correctly rounded.

    python make_rng_goldens.py OUT.safetensors

Needs torch, mpmath, safetensors. Tensors: `torch.SEED.SIZE` (seed as unsigned 64-bit number) and
`philox.SEED.SIZE`, the latter computed here from the formulas of src/sample/philox.h with 100 bits,
rounded once to float32.
"""
import sys

import mpmath
import numpy as np
import torch
from safetensors.numpy import save_file

SEEDS = [0, 1, 42, 2**32 - 1, 2**32 + 5, 2**63 + 12345]
SIZES = [1, 7, 15, 16, 17, 31, 100]


def torch_noise(seed, size):
    signed = seed if seed < 2**63 else seed - 2**64
    return torch.randn(size, generator=torch.Generator("cpu").manual_seed(signed)).numpy()


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def philox_noise(seed, size):
    mpmath.mp.prec = 100
    out = []
    for block in range((size + 3) // 4):
        w = philox([block & 0xFFFFFFFF, block >> 32, 0, 0], [seed & 0xFFFFFFFF, seed >> 32])
        u = [(mpmath.mpf(x) + 0.5) / 2**32 for x in w]
        for a, b in ((u[0], u[1]), (u[2], u[3])):
            radius, angle = mpmath.sqrt(-2 * mpmath.log(a)), 2 * mpmath.pi * b
            out += [radius * mpmath.cos(angle), radius * mpmath.sin(angle)]
    return np.array([np.float32(float(x)) for x in out[:size]], np.float32)


def main():
    tensors = {f"torch.{s}.{n}": torch_noise(s, n) for s in SEEDS for n in SIZES}
    tensors |= {f"torch.{s}.2048": torch_noise(s, 2048) for s in (0, 2**32 + 5)}
    tensors |= {f"philox.{s}.{n}": philox_noise(s, n) for s in SEEDS for n in (1, 6)}
    tensors["philox.42.2048"] = philox_noise(42, 2048)
    save_file(tensors, sys.argv[1], metadata={"torch": torch.__version__, "mpmath": mpmath.__version__})


if __name__ == "__main__":
    main()
