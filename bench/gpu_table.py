"""One table of what scripts/gpu-check measured: python3 bench/gpu_table.py FOLDER"""
import json
import pathlib
import sys


def load(path):
    return json.loads(path.read_text()) if path.exists() else None


def ratio(a, b):
    return f"{a / b:10.3f}" if a and b else f"{'-':>10s}"


def flux_rows(folder, torch):
    rows = [(f"PyTorch {k}", v["median_ms"], v["peak_bytes"]) for k, v in torch.items() if isinstance(v, dict)]
    for path in sorted(folder.glob("flux-*.json")):
        row = load(path)
        name = f"octavo {row['precision']}"
        if row["extents"]["B"] > 1:
            name += f", batch {row['extents']['B']}"
        if path.stem == "flux-invariant":
            name += ", batch-invariant"
        rows.append((name, row["step"]["median_ms"], row["resident_bytes"]))
    return rows


def main():
    folder = pathlib.Path(sys.argv[1])
    torch = load(folder / "rival-flux.json") or {}
    against = [torch.get(mode, {}).get("median_ms") for mode in ("compile", "fp8row")]
    print(f"{'FLUX.1-dev, 1024 x 1024':34s} {'step ms':>9s} {'/ compile':>9s} {'/ fp8row':>9s} {'GB':>7s}")
    for name, ms, size in flux_rows(folder, torch):
        print(f"{name:34s} {ms:9.2f}{''.join(ratio(ms, a) for a in against)} {size / 1e9:7.1f}")
    single, four = load(folder / "flux-fp8.json"), load(folder / "flux-batch4.json")
    steady = load(folder / "flux-invariant.json")
    if single and four:
        print(f"{'fp8, batch 4 / (4 x batch 1)':34s} {four['step']['median_ms'] / 4 / single['step']['median_ms']:9.3f}")
    if single and steady:
        print(f"{'fp8, batch-invariant / fastest':34s} {steady['step']['median_ms'] / single['step']['median_ms']:9.3f}")
    print(f"\n{'zoo/emoji, guided pair':34s} {'step ms':>9s} {'picture ms':>10s}")
    for path in sorted(folder.glob("emoji-*.json")):
        row = load(path)
        step = row.get("loop_step", row["step"])["median_ms"]
        print(f"{'octavo ' + row['precision']:34s} {step:9.3f} {row['picture']['median_ms']:10.2f}")
    for mode, row in (load(folder / "rival-emoji.json") or {}).items():
        if isinstance(row, dict) and "median_ms" in row:
            print(f"{'PyTorch ' + mode:34s} {row['median_ms']:9.3f}")
    print(f"\n{'stage':34s} {'exit':>9s} {'s':>9s}")
    stages = folder / "stages.txt"
    for line in stages.read_text().splitlines() if stages.exists() else []:
        name, code, seconds = line.split()
        print(f"{name:34s} {code:>9s} {seconds:>9s}")


if __name__ == "__main__":
    main()
