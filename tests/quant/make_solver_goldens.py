#!/usr/bin/env python3
"""Golden data of the quantizer's solvers: tests/quant/golden/solver.safetensors.

Written with numpy 2.4.6, safetensors 0.8.0:  python3 tests/quant/make_solver_goldens.py

- entropy.N.histogram, entropy.N.kept: TensorRT's entropy calibration as pytorch-quantization and
  NVIDIA Model-Optimizer publish it (calib/histogram.py, _compute_amax_entropy; stride 1, start bin
  128), bin by bin with numpy.digitize. The relative entropy is written out (theirs is scipy's).
- steps.calls, steps.METHOD.P: Model-Optimizer's PercentileCalibrator (examples/diffusers/
  quantization/calib/plugin_calib.py) fed a magnitude a call, call i being of step i mod steps.
- low_rank.weight, .moment, .product: numpy.linalg.svd of weight S, H + damping = S S^T, truncated.
- hadamard.rows, .rotated: times the Sylvester matrix / sqrt(block).
"""
import pathlib

import numpy as np
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).parent / "golden" / "solver.safetensors"


def relative_entropy(p, q):
    p, q = p / p.sum(), q / q.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / q), 0.0)
    return np.inf if np.any((p > 0) & (q == 0)) else terms.sum()


def entropy_kept(histogram, levels, start=128):
    bins = histogram.astype(np.float64).copy()
    bins[0] = bins[1]
    divergences = []
    for i in range(start, len(bins) + 1):
        digitized = np.digitize(range(i), np.linspace(0, i, num=levels + 1)) - 1
        digitized[bins[:i] == 0] = -1
        counts = np.zeros(levels)
        for index, level in enumerate(digitized):
            if level != -1:
                counts[level] += bins[index]
        for level in set(digitized) - {-1}:
            counts[level] /= np.count_nonzero(digitized == level)
        density = np.array([counts[level] if level != -1 else 0.0 for level in digitized])
        reference = bins[:i].copy()
        reference[-1] += bins[i:].sum()
        divergences.append(relative_entropy(reference, density))
    divergences = np.array(divergences)
    return len(divergences) - 1 - int(np.argmin(divergences[::-1])) + start


def percentile_quant(calls, steps, method, fraction):
    data = {}
    for i, magnitude in enumerate(calls):
        step = i % steps
        if step not in data:
            data[step] = magnitude
        elif method == "global-min":
            data[step] = min(data[step], magnitude)
        elif method in ("min-max", "mean-max"):
            data[step] = max(data[step], magnitude)
        else:
            data[step] += magnitude
    upper = int(steps * fraction)
    values = np.array([data[s] for s in range(upper)])
    if method == "mean-max":
        return values.mean()
    return values.min() / steps if method == "min-mean" else values.min()


def main():
    rng = np.random.default_rng(5)
    tensors = {}
    samples = [np.abs(rng.standard_normal(200000)), np.abs(rng.standard_t(3, 100000)),
               np.concatenate([np.abs(rng.standard_normal(5000)), [40.0, 41.0]])]
    for n, values in enumerate(samples):
        histogram, _ = np.histogram(values, bins=2048, range=(0, values.max()))
        tensors[f"entropy.{n}.histogram"] = histogram.astype(np.int64)
        tensors[f"entropy.{n}.kept"] = np.array(
            [entropy_kept(histogram, levels) for levels in (128, 8)], np.int64)

    steps, pictures = 10, 4
    calls = np.abs(rng.standard_normal(steps * pictures)).astype(np.float32)
    tensors["steps.calls"] = calls.reshape(pictures, steps)
    for method in ("min-mean", "mean-max", "min-max", "global-min"):
        for fraction in (1.0, 0.55):
            value = percentile_quant(calls.astype(np.float64), steps, method, fraction)
            tensors[f"steps.{method}.{fraction}"] = np.array([value], np.float32)

    weight = rng.standard_normal((24, 40)).astype(np.float32)
    x = rng.standard_normal((200, 40)) * np.linspace(0.1, 3, 40) + rng.standard_normal(200)[:, None]
    moment = x.T @ x / len(x)
    damped = moment + np.eye(40) * 0.01 * np.trace(moment) / 40
    s = np.linalg.cholesky(damped)
    u, sigma, vt = np.linalg.svd(weight @ s, full_matrices=False)
    product = (u[:, :6] * sigma[:6]) @ vt[:6] @ np.linalg.inv(s)
    tensors["low_rank.weight"], tensors["low_rank.moment"] = weight, moment
    tensors["low_rank.product"] = product

    h = np.ones((1, 1))
    while len(h) < 8:
        h = np.block([[h, h], [h, -h]])
    rows = rng.standard_normal((3, 24)).astype(np.float32)
    tensors["hadamard.rows"] = rows
    tensors["hadamard.rotated"] = (rows.reshape(3, 3, 8) @ h / np.sqrt(8)).reshape(3, 24)
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, OUT)


if __name__ == "__main__":
    main()
