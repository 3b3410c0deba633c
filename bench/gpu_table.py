"""One table of what scripts/gpu-check measured: python3 bench/gpu_table.py FOLDER"""
import json
import pathlib
import sys


def load(path):
    return json.loads(path.read_text()) if path.exists() else None


def main():
    folder = pathlib.Path(sys.argv[1])
    torch = load(folder / "flux-torch.json") or {}
    print(f"{'FLUX.1-dev, 1024 x 1024':28s} {'step ms':>9s} {'/ compile':>9s} {'/ fp8row':>9s} {'GB':>7s}")
    rivals = [(f"PyTorch {k}", v["median_ms"], v["peak_bytes"]) for k, v in torch.items() if isinstance(v, dict)]
    ours = []
    for path in sorted(folder.glob("flux-*.json")):
        if path.name != "flux-torch.json":
            row = load(path)
            ours.append((f"octavo {row['precision']}", row["step"]["median_ms"], row["resident_bytes"]))
    for name, ms, size in rivals + ours:
        ratios = "".join(f"{ms / torch[k]['median_ms']:10.3f}" if k in torch else f"{'-':>10s}" for k in ("compile", "fp8row"))
        print(f"{name:28s} {ms:9.2f}{ratios} {size / 1e9:7.1f}")
    print()
    print(f"{'zoo/emoji, guided pair':28s} {'step ms':>9s} {'picture ms':>10s}")
    for path in sorted(folder.glob("emoji-*.json")):
        row = load(path)
        print(f"{'octavo ' + row['precision']:28s} {row['step']['median_ms']:9.3f} {row['picture']['median_ms']:10.2f}")


if __name__ == "__main__":
    main()
