"""Prints the table of bench/compare.sh: medians over rounds of each round's medians, and ratios to PyTorch."""
import json
import pathlib
import statistics
import sys


def main():
    folder, rounds, threads = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

    def median(name, figure):
        values = [json.loads((folder / f"{name}-{r}.json").read_text())[figure]["median_ms"] for r in range(1, rounds + 1)]
        return statistics.median(values)

    print(f"{'ms, medians':12s} {'step':>9s} {'x torch':>8s} {'x f32':>6s} {'decode':>9s} {'picture':>9s} {'x torch':>8s}   ({threads} threads)")
    for name in ("torch", "f32", "bf16", "int8"):
        step, decode, picture = (median(name, f) for f in ("step", "decode", "picture"))
        print(f"{name:12s} {step:9.2f} {median('torch', 'step') / step:8.2f} {median('f32', 'step') / step:6.2f} {decode:9.2f} {picture:9.1f} "
              f"{median('torch', 'picture') / picture:8.2f}")


if __name__ == "__main__":
    main()
