#!/usr/bin/env python3
"""Fails on source files over 800 lines; lists those over 500, which need a reason."""
import pathlib
import subprocess
import sys

LIMIT, REASON = 800, 500
SUFFIXES = {".h", ".cc", ".cu", ".cuh", ".py", ".cmake"}


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True).stdout
    paths = [root / p for p in listed.splitlines() if pathlib.Path(p).suffix in SUFFIXES]
    sizes = sorted(((len(p.read_text().splitlines()), p) for p in paths if p.exists()), reverse=True)
    for lines, path in sizes:
        if lines > REASON:
            print(f"{lines:5d} {path.relative_to(root)}")
    too_long = [p for lines, p in sizes if lines > LIMIT]
    print(f"size: {len(paths)} files, {len(too_long)} over {LIMIT} lines")
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main())
