#!/usr/bin/env python3
"""Writes the seeds of the io fuzz targets, tests/fuzz/corpus/{config_json,npz,png,safetensors}:
small valid files (from tests/io/golden) and the classic ways to get one wrong. Standard library only.
"""
import json
import shutil
import struct
from pathlib import Path

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "io" / "golden"


def seed(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def container(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors():
    a, b = entry("F32", [2], 0, 8), entry("U8", [3], 8, 11)
    seeds = {
        "empty": container({}),
        "metadata": container({"__metadata__": {"format": "pt", "ü": "\n"}}),
        "two": container({"a": a, "b": b}, bytes(11)),
        "scalar": container({"s": entry("BF16", [], 0, 2)}, bytes(2)),
        "zero": container({"z": entry("F64", [0, 4], 0, 0)}),
        "hole": container({"a": a, "b": entry("U8", [3], 9, 12)}, bytes(12)),
        "overlap": container({"a": a, "b": entry("U8", [3], 7, 10)}, bytes(10)),
        "trailing": container({"a": a}, bytes(9)),
        "range": container({"a": entry("F32", [2], 8, 16)}, bytes(8)),
        "overflow": container({"a": entry("F32", [2**32, 2**32], 0, 8)}, bytes(8)),
        "negative": container({"a": entry("F32", [-2], 0, 8)}, bytes(8)),
        "dtype": container({"a": entry("I16", [4], 0, 8)}, bytes(8)),
        "twice": container(b'{"a":1,"a":1}'),
        "huge_header": container({}, length=2**63),
        "long_header": container({}, length=99),
    }
    for name, data in seeds.items():
        seed("safetensors", name, data)
    shutil.copy(GOLDEN / "every_type.safetensors", HERE / "corpus/safetensors/every_type")


def config_json():
    flux = {"_class_name": "FluxTransformer2DModel", "num_layers": 2, "guidance_embeds": False,
            "axes_dims_rope": [8, 28, 28], "out_channels": None, "eps": 1e-6, "names": ["a", "b"],
            "scheduler": {"shift": 1.0, "steps": 20}}
    seeds = {
        "flux": json.dumps(flux, indent=1), "minus": '{"num_layers":-1}', "empty": "{}",
        "huge": '{"n":18446744073709551616,"m":1e308,"k":1e999}', "twice": '{"a":1,"a":2}',
        "deep": "[" * 70 + "]" * 70, "escapes": '{"\\u0061\\ud83d\\ude00":"\\n\\"\\\\"}',
        "nan": '{"a":NaN}', "bom": '\ufeff{"a":[]}', "comment": '{/**/"a":1}', "array": "[1,2]",
    }
    for name, text in seeds.items():
        seed("config_json", name, text.encode())
    seed("config_json", "not_utf8", b'{"a":"\xff"}')


def copies():
    for target, pattern in (("npz", "*.np[yz]"), ("png", "*.png")):
        for path in sorted(GOLDEN.glob(pattern)):
            seed(target, path.name, path.read_bytes())


if __name__ == "__main__":
    safetensors()
    config_json()
    copies()
