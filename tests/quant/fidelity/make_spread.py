"""How far figures of zoo/sensitivity.py move when its starting noise moves by 1e-6: the spread of one emulated scheme over draws.

    python make_spread.py ../../../zoo/emoji

On prompts that the model never saw the sampler is chaotic in FP8: roundings that differ in the last bit end in other pictures, so a single run is
one draw. fidelity_test.cc holds what this printed with torch 2.15.0, diffusers 0.42.1, transformers 5.23.0.
"""
import math
import pathlib
import statistics
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "zoo"))
from reference import Emoji  # noqa: E402

DRAWS = 6


def main():
    torch.set_grad_enabled(False)
    folder = sys.argv[1]
    m = Emoji(folder)
    prompts = [p.strip() for p in open(f"{folder}/prompts-novel.txt")][::7][:16]
    noise = torch.randn(16, 64, 32, generator=torch.Generator().manual_seed(5))
    ref = m.sample(prompts, noise)
    lin = {n: l for n, l in m.dit.named_modules() if isinstance(l, torch.nn.Linear) and "transformer_blocks" in n and ".norm" not in n and "norm1" not in n}
    keep, absmax = {n: l.weight.data.clone() for n, l in lin.items()}, dict.fromkeys(lin, 0.0)

    def observe(n):
        def hook(_, a):
            absmax[n] = max(absmax[n], a[0].abs().max().item())
        return hook

    hooks = [l.register_forward_pre_hook(observe(n)) for n, l in lin.items()]
    m.sample("ghost|blue car|banana|flag: france|tiger|umbrella|trumpet|crown".split("|"), torch.randn(8, 64, 32, generator=torch.Generator().manual_seed(77)))
    for h in hooks:
        h.remove()
    row = lambda x: x.abs().amax(-1, keepdim=True).clamp(min=1e-12)
    e4m3 = lambda x, s: (x / s).clamp(-448, 448).to(torch.float8_e4m3fn).float() * s
    schemes = {"fp8dq": (lambda w: e4m3(w, w.abs().max() / 448), lambda x, n: e4m3(x, x.abs().max() / 448)),
               "fp8": (lambda w: e4m3(w, row(w) / 448), lambda x, n: e4m3(x, absmax[n] / 448))}
    for name, (wq, aq) in schemes.items():
        for n, l in lin.items():
            l.weight.data = wq(keep[n])
        hooks = [l.register_forward_pre_hook(lambda _, a, n=n: (aq(a[0], n),)) for n, l in lin.items()]
        draws = []
        for k in range(DRAWS):
            start = noise + (1e-6 if k else 0) * torch.randn(noise.shape, generator=torch.Generator().manual_seed(k))
            draws.append(10 * math.log10(4 / ((m.sample(prompts, start) - ref) ** 2).mean((1, 2, 3)).mean().item()))
        for h in hooks:
            h.remove()
        print(f"{name}: mean {statistics.mean(draws):.2f}, deviation {statistics.stdev(draws):.2f},", *(f"{d:.2f}" for d in draws), flush=True)


if __name__ == "__main__":
    main()
