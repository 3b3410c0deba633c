#!/usr/bin/env python3
"""Checks the order of the floors: a file includes only its own floor and those above it.

    tools/floors.py        exit 1 and one line per violation
"""
import pathlib
import re
import sys

FLOORS = "base tensor graph io models passes kernels plan run sample judge quant serve".split()
RANK = {floor: rank for rank, floor in enumerate(FLOORS)}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    bad = []
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in {".h", ".cc", ".cu", ".cuh"}:
            continue
        floor = path.relative_to(root / "src").parts[0]
        if floor not in RANK:
            bad.append(f"{path.relative_to(root)}: '{floor}' is no floor (one of {' '.join(FLOORS)})")
            continue
        for target in INCLUDE.findall(path.read_text()):
            first = target.split("/")[0]
            if first == "octavo":
                continue
            if first not in RANK:
                bad.append(f"{path.relative_to(root)}: \"{target}\" is not written from its floor")
            elif RANK[first] > RANK[floor]:
                bad.append(f"{path.relative_to(root)}: floor '{floor}' includes '{first}', below it")
    for path in sorted((root / "include").rglob("*.h")):
        for target in INCLUDE.findall(path.read_text()):
            if not target.startswith("octavo/"):
                bad.append(f"{path.relative_to(root)}: a public header includes \"{target}\"")
    print("\n".join(bad) if bad else "floors: in order")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
