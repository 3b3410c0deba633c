#!/usr/bin/env python3
"""Writes the seeds of fuzz targets recipe and artifact: small valid ones and the classic ways to get
one wrong. Standard library only.
"""
import json
import struct
from pathlib import Path

HERE = Path(__file__).parent
BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I8": 1, "U8": 1, "F8_E4M3": 1, "F8_E8M0": 1}


def seed(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def recipes():
    seeds = {
        "zoo": "# what and why\ntransformer/*norm*.linear keep # by default\n"
               "transformer/* int8 solver=percentile:99.95\nvae/decoder.* int8\n",
        "specs": "a/? w=i4/1x128/static/f16/zp\nb/* w=e4m3/*x*/static/f32   a=e4m3/1x*/dynamic/f32\r\n",
        "names": "".join(f"{n}/* {n}\n" for n in "fp8 fp8dq fp8dqrow int8dq int8wo fp8wo int4wo "
                         "fp6_e3m2 fp5_e2m2 fp4_e2m1 mxfp8".split()),
        "solvers": "a int8 solver=mse\nb fp8 solver=absmax\nc int8 solver=percentile:50\n",
        "empty": "", "comment": "#\n#", "no_scheme": "transformer/*\n", "unknown": "* int9\n",
        "percentile": "* int8 solver=percentile:1e999\n", "stars": "*" * 300 + " keep",
        "long": "a" * 1200, "tab": "\ta\tkeep\t#\tb\t\n", "spec": "* w=i8/1x0/static/f32\n",
        "huge_tile": "* w=i8/1x9223372036854775807/static/f32\n",
    }
    for name, text in seeds.items():
        seed("recipe", name, text.encode())
    seed("recipe", "not_utf8", b"* int8 # \xff\n")
    seed("recipe", "zero", b"* int8\n\0\n")


def artifact(manifest, tensors):
    """tensors: name -> (dtype, shape, first byte of every element)"""
    header, data = {"__metadata__": {"octavo": json.dumps(manifest)}}, b""
    for name, (dtype, shape, element) in tensors.items():
        count = 1
        for extent in shape:
            count *= extent
        begin, data = len(data), data + element * count
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


ONE_F32, ONE_F16 = struct.pack("<f", 1), struct.pack("<e", 1)


def manifest(scheme, shape, **more):
    return {"format_version": 1, "tool_version": "0", "recipe": "", "stats_hash": "",
            "source_hash": "0", "pipeline": "{}", "configs": {"n": "{}"},
            "layers": {"n/l": {"scheme": scheme, "shape": shape}}, "prompts": {"known": ["a"]}, **more}


def transformed():
    """A layer with all that a linear may have."""
    layer = {"scheme": "w=i8/1x*/static/f32 a=i8/*x*/static/f32", "shape": [2, 4], "input_steps": 1,
             "low_rank": 1, "rotation": 4, "input_shift": True, "input_multiplier": True, "bias": True}
    one_bf16 = b"\x80\x3f"
    tensors = {"n/l.weight_scale": ("F32", [2, 1], ONE_F32), "n/l.input_scale": ("F32", [1, 1], ONE_F32),
               "n/l.input_steps": ("F32", [1], ONE_F32), "n/l.input_shift": ("F32", [4], ONE_F32),
               "n/l.input_multiplier": ("F32", [4], ONE_F32), "n/l.bias": ("F32", [2], ONE_F32),
               "n/l.low_rank_down": ("BF16", [1, 4], one_bf16), "n/l.low_rank_up": ("BF16", [2, 1], one_bf16),
               "n/l.weight": ("I8", [2, 4], b"\3")}
    return manifest(layer["scheme"], [2, 4], format_version=2, layers={"n/l": layer}), tensors


def artifacts():
    form, form_parts = transformed()
    int8 = manifest("w=i8/1x*/static/f32 a=i8/*x*/static/f32", [2, 4])
    parts = {"n/l.weight_scale": ("F32", [2, 1], ONE_F32), "n/l.input_scale": ("F32", [1, 1], ONE_F32),
             "n/l.bias": ("F32", [2], ONE_F32), "n/l.weight": ("I8", [2, 4], b"\3")}
    int4 = {"n/l.weight_scale": ("F16", [2, 2], ONE_F16), "n/l.weight": ("U8", [2, 2], b"\x5a")}
    conv = {"n/l.weight_scale": ("F32", [2, 1], ONE_F32), "n/l.weight_zero_point": ("F32", [2, 1], ONE_F32),
            "n/l.weight": ("U8", [2, 5], b"\x5a")}
    seeds = {
        "int8": artifact(int8, parts),
        "int4": artifact(manifest("w=i4/1x2/static/f16", [2, 4]), int4),
        "int4_zp_conv": artifact(manifest("w=i4/1x*/static/f32/zp", [2, 1, 3, 3]), conv),
        "fp6": artifact(manifest("w=e3m2/*x*/static/e8m0", [2, 4]),
                        {"n/l.weight_scale": ("F8_E8M0", [1, 1], b"\x7f"), "n/l.weight": ("U8", [2, 3], b"\1")}),
        "fp8": artifact(manifest("w=e4m3/1x*/static/f32", [2, 4]),
                        {"n/l.weight_scale": ("F32", [2, 1], ONE_F32), "n/l.weight": ("F8_E4M3", [2, 4], b"\x7f")}),
        "transformed": artifact(form, form_parts),
        "two_steps_one_value": artifact({**form, "layers": {"n/l": {**form["layers"]["n/l"], "input_steps": 2}}},
                                        {**form_parts, "n/l.input_steps": ("F32", [2], ONE_F32),
                                         "n/l.input_scale": ("F32", [2, 1], ONE_F32)}),
        "rotation": artifact({**form, "layers": {"n/l": {**form["layers"]["n/l"], "rotation": 3}}}, form_parts),
        "rank": artifact({**form, "layers": {"n/l": {**form["layers"]["n/l"], "low_rank": 2**40}}}, form_parts),
        "newer": artifact({**int8, "format_version": 3}, parts),
        "zero_scale": artifact(int8, {**parts, "n/l.weight_scale": ("F32", [2, 1], bytes(4))}),
        "missing": artifact(int8, {k: v for k, v in parts.items() if k != "n/l.input_scale"}),
        "surplus": artifact(int8, {**parts, "m/x": ("F32", [1], ONE_F32)}),
        "shape": artifact(manifest("w=i8/1x*/static/f32", [2**40, 2**40]), parts),
        "tile": artifact(manifest("w=i8/1x3/static/f32", [2, 4]), parts),
        "no_manifest": artifact({}, parts),
        "not_octavo": struct.pack("<Q", 2) + b"{}",
    }
    for name, data in seeds.items():
        seed("artifact", name, data)


if __name__ == "__main__":
    recipes()
    artifacts()
