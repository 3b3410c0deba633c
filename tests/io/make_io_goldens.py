#!/usr/bin/env python3
"""Writes tests/io/golden: files of the Python libraries that the io tests read.

Made with Python 3.11, numpy 2.4.6, safetensors 0.8.0, torch 2.15.0, huggingface_hub 2.4.0,
Pillow 13.0.0.
  make_io_goldens.py           writes the files
  make_io_goldens.py --check FOLDER   reads what test_io wrote there (its folder io_written) back with
                               the same libraries and compares
"""
import sys
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from huggingface_hub import save_torch_state_dict
from PIL import Image, PngImagePlugin

GOLDEN = Path(__file__).parent / "golden"


def every_type():
    """One tensor a type, values 0, 1, 2, ... as far as the type goes, odd sizes, a scalar, an empty one."""
    ramp = torch.arange(15).reshape(3, 5)
    types = {
        "f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
        "e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2, "i64": torch.int64,
        "i32": torch.int32, "i8": torch.int8, "u8": torch.uint8,
    }
    tensors = {name: ramp.to(dtype) for name, dtype in types.items()}
    tensors["e8m0"] = torch.arange(120, 135, dtype=torch.uint8).view(torch.float8_e8m0fnu)
    tensors["bool"] = torch.tensor([True, False, True])
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 7)
    tensors["name with \"quotes\" and ü"] = torch.ones(2)
    return tensors


def arrays():
    ramp = np.arange(24)
    result = {
        dtype: ramp.astype(dtype).reshape(2, 3, 4)
        for dtype in ("<f2", "<f4", "<f8", "|i1", "|u1", "<i4", "<i8")
    }
    result["|b1"] = (ramp % 3 == 0).reshape(2, 12)
    result["fortran3"] = np.asfortranarray(ramp.astype("<i4").reshape(2, 3, 4))
    result["fortran2"] = np.asfortranarray(ramp.astype("<f8").reshape(4, 6))
    result["scalar"] = np.float32(2.5)
    result["empty"] = np.zeros((0, 5), "<f4")
    return {name.strip("<|"): array for name, array in result.items()}


def picture():
    """7x5 RGB, every byte another value."""
    return np.array([(37 * i + 11) % 256 for i in range(7 * 5 * 3)], np.uint8).reshape(5, 7, 3)


def write_numpy():
    named = arrays()
    np.savez(GOLDEN / "stored.npz", **named)
    np.savez_compressed(GOLDEN / "deflated.npz", **named)
    safetensors.torch.save_file(
        {k: torch.from_numpy(np.array(v, order="C")) for k, v in named.items()},
        GOLDEN / "arrays.safetensors")
    for version in (1, 2, 3):
        with open(GOLDEN / f"version{version}.npy", "wb") as file:
            np.lib.format.write_array(file, named["fortran3"], version=(version, 0))
    np.save(GOLDEN / "big_endian.npy", np.arange(3, dtype=">f4"))
    np.save(GOLDEN / "records.npy", np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))
    np.save(GOLDEN / "objects.npy", np.array([{}, None]), allow_pickle=True)
    np.save(GOLDEN / "complex.npy", np.zeros(2, "<c8"))


def write_pictures():
    rgb = picture()
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", "a red apple")
    text.add_text("latin", "caf\u00e9".encode("latin-1"))
    text.add_itxt("unicode", "ein Fl\u00fcgel \u2603", "de", "Unicode")
    text.add_text("packed", "x" * 500, zip=True)
    image = Image.fromarray(rgb)
    image.save(GOLDEN / "rgb.png", pnginfo=text)
    gray = Image.fromarray(rgb[:, :, 0])
    gray.save(GOLDEN / "gray.png")
    image.quantize(256).save(GOLDEN / "palette.png")
    gray.point(lambda v: 255 * (v > 127)).convert("1").save(GOLDEN / "bits.png")
    Image.fromarray(rgb[:, :, 0].astype(np.uint16) * 257).save(GOLDEN / "gray16.png")
    image.convert("RGBA").save(GOLDEN / "alpha.png")
    as_rgb = lambda name: torch.from_numpy(np.array(Image.open(GOLDEN / name).convert("RGB")))
    pixels = {name: as_rgb(f"{name}.png") for name in ("rgb", "gray", "palette", "bits")}
    pixels["gray16"] = pixels["gray"].clone()
    safetensors.torch.save_file(pixels, GOLDEN / "pixels.safetensors")


def write():
    (GOLDEN / "sharded").mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(every_type(), GOLDEN / "every_type.safetensors", {"made by": "torch"})
    weights = {f"block.{i}.weight": torch.full((4, 8), float(i)) for i in range(5)}
    save_torch_state_dict(weights, GOLDEN / "sharded", max_shard_size=300,
                          filename_pattern="diffusion_pytorch_model{suffix}.safetensors")
    write_numpy()
    write_pictures()


def check(folder):
    ours = safetensors.torch.load_file(folder / "every_type.safetensors")
    for name, tensor in every_type().items():
        assert ours[name].dtype == tensor.dtype and ours[name].shape == tensor.shape, name
        assert ours[name].view(torch.uint8).equal(tensor.view(torch.uint8)) if tensor.dim() else \
            ours[name] == tensor, name
    with safetensors.safe_open(folder / "every_type.safetensors", "pt") as file:
        assert file.metadata() == {"made by": "torch"}
    image = Image.open(folder / "picture.png")
    assert np.array_equal(np.array(image), picture()) and image.mode == "RGB"
    assert image.text == {"prompt": "a red apple", "unicode": "ein Fl\u00fcgel \u2603"}, image.text
    print("ok")


if __name__ == "__main__":
    check(Path(sys.argv[2])) if sys.argv[1:2] == ["--check"] else write()
