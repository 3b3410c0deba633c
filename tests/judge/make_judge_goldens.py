"""PSNR and SSIM of a few picture pairs, as scikit-image computes them.

    python make_judge_goldens.py OUT.safetensors

Made with scikit-image 0.26.0, numpy 2.4.6, safetensors 0.8.0. SSIM: Wang et al. 2004 settings (Gaussian window of 11, sigma 1.5,
population covariance), mean over channels, values in [-1, 1] (data range 2).
"""
import sys

import numpy as np
import skimage
from safetensors.numpy import save_file
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def pairs():
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:24, 0:31] / 10
    smooth = np.stack([np.sin(x + c) * np.cos(y - c) for c in range(3)])
    yield smooth, smooth + 0.05 * rng.standard_normal(smooth.shape)
    yield smooth, np.roll(smooth, 1, axis=2)
    noise = rng.uniform(-1, 1, (3, 16, 16))
    yield noise, 0.5 * noise
    yield np.zeros((3, 11, 11)), np.full((3, 11, 11), 0.25)


def main():
    tensors = {}
    for i, (a, b) in enumerate(pairs()):
        a, b = a.astype(np.float32), b.astype(np.float32)
        p = peak_signal_noise_ratio(a.astype(np.float64), b.astype(np.float64), data_range=2)
        s = structural_similarity(a.astype(np.float64), b.astype(np.float64), channel_axis=0, data_range=2, gaussian_weights=True,
                                  sigma=1.5, use_sample_covariance=False)
        tensors |= {f"{i}.a": a, f"{i}.b": b, f"{i}.psnr": np.array([p]), f"{i}.ssim": np.array([s])}
    save_file(tensors, sys.argv[1], metadata={"scikit-image": skimage.__version__, "numpy": np.__version__})


if __name__ == "__main__":
    main()
