#!/usr/bin/env bash
# The zoo model on the CPU, ours and PyTorch's, alternating in one run with the same threads.
#   bench/compare.sh [BUILD] [THREADS] [ROUNDS]     PYTHON=python3 with torch, diffusers, transformers
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build} threads=${2:-$(nproc)} rounds=${3:-3} python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
octavo=$build/octavo
"$octavo" quantize zoo/emoji --scheme int8 -o "$work/int8.safetensors" -q >/dev/null
for round in $(seq "$rounds"); do
  "$python" bench/rivals/torch_cpu.py zoo/emoji --threads "$threads" --json "$work/torch-$round.json"
  for precision in f32 bf16 int8; do
    name=$precision
    if [ "$precision" = int8 ]; then name=$work/int8.safetensors; fi
    "$octavo" bench zoo/emoji --precision "$name" --threads "$threads" -q \
      --json "$work/$precision-$round.json" >/dev/null
  done
done
"$python" bench/table.py "$work" "$rounds" "$threads"
