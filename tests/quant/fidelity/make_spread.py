"""How far zoo/sensitivity.py's own figures move when its starting noise moves by 1e-6: the run-to-run spread of one emulated scheme.

    python make_spread.py ../../../zoo/emoji SPREAD.json

On prompts that the model never saw the sampler is chaotic: roundings that differ in the last bit end in other pictures, so a single run is one
draw. fidelity_test.cc compares with mean and spread of these draws. Made with torch 2.15.0, diffusers 0.42.1, transformers 5.23.0.
"""
import json
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
    keep = {n: l.weight.data.clone() for n, l in lin.items()}
    absmax, seen = dict.fromkeys(lin, 0.0), {n: [] for n in lin}

    def observe(n):
        def hook(_, a):
            x = a[0].abs()
            absmax[n] = max(absmax[n], x.max().item())
            seen[n].append(x.flatten()[torch.randint(x.numel(), (4000,))])
        return hook

    hooks = [l.register_forward_pre_hook(observe(n)) for n, l in lin.items()]
    m.sample("ghost|blue car|banana|flag: france|tiger|umbrella|trumpet|crown".split("|"), torch.randn(8, 64, 32, generator=torch.Generator().manual_seed(77)))
    for h in hooks:
        h.remove()
    p9995 = {n: torch.quantile(torch.cat(v), 0.9995).item() for n, v in seen.items()}
    row = lambda x: x.abs().amax(-1, keepdim=True).clamp(min=1e-12)
    e4m3 = lambda x, s: (x / s).clamp(-448, 448).to(torch.float8_e4m3fn).float() * s
    ints = lambda x, s, top=127: (x / s).round().clamp(-top - 1, top) * s
    group = lambda f, g: (lambda w: f(w.view(len(w), -1, g)).view_as(w))
    w8, wf = (lambda w: ints(w, row(w) / 127)), (lambda w: e4m3(w, row(w) / 448))
    schemes = {
        "int8wo": (w8, None), "fp8wo": (wf, None), "int4wo": (group(lambda w: ints(w, row(w) / 7, 7), 64), None),
        "fp8dq": (lambda w: e4m3(w, w.abs().max() / 448), lambda x, n: e4m3(x, x.abs().max() / 448)),
        "fp8dqrow": (wf, lambda x, n: e4m3(x, row(x) / 448)), "int8dq": (w8, lambda x, n: ints(x, row(x) / 127)),
        "fp8": (wf, lambda x, n: e4m3(x, absmax[n] / 448)), "int8": (w8, lambda x, n: ints(x, absmax[n] / 127)),
        "int8 solver=percentile:99.95": (w8, lambda x, n: ints(x, p9995[n] / 127)),
    }
    out = {}
    for name, (wq, aq) in schemes.items():
        hooks = []
        for n, l in lin.items():
            l.weight.data = wq(keep[n])
            if aq:
                hooks.append(l.register_forward_pre_hook(lambda _, a, n=n: (aq(a[0], n),)))
        draws = []
        for k in range(DRAWS):
            start = noise + (1e-6 if k else 0) * torch.randn(noise.shape, generator=torch.Generator().manual_seed(k))
            draws.append(10 * math.log10(4 / ((m.sample(prompts, start) - ref) ** 2).mean().item()))
        for h in hooks:
            h.remove()
        out[name] = {"mean": statistics.mean(draws), "deviation": statistics.stdev(draws), "draws": draws}
        print(name, {k: v for k, v in out[name].items() if k != "draws"}, flush=True)
    pathlib.Path(sys.argv[2]).write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
