#!/usr/bin/env python3
"""Writes the seeds of fuzz targets recipe, artifact, stats and search_state: small valid ones and the
classic ways to get one wrong. Standard library only.
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


def stats_file(metadata, tensors):
    """tensors: name -> (dtype, shape, values)"""
    header, data = {"__metadata__": metadata}, b""
    for name, (dtype, shape, values) in tensors.items():
        begin, data = len(data), data + struct.pack(f"<{len(values)}{'f' if dtype == 'F32' else 'q'}", *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def one_input(name, steps, channels=2, rows=0, moment=False):
    """Of `steps`, each with 4 values a channel, from -1 to 1."""
    n, values, bins = len(steps), 4 * channels, 386
    histogram = [values if i == 193 else 0 for i in range(bins)]
    parts = {"steps": ("I64", [n], steps),
             "channel_range": ("F32", [n, 2, channels], ([-1.0] * channels + [1.0] * channels) * n),
             "channel_sum": ("I64", [n, channels, 2], [2**52, 0] * channels * n),
             "histogram": ("I64", [n, bins], histogram * n),
             "sample_absmax": ("F32", [n], [1.0] * n),
             "sample_absmax_sum": ("I64", [n, 2], [2**52, 0] * n),
             "counts": ("I64", [n, 4], [0, values, 1, rows] * n)}
    if rows:
        parts["rows"] = ("F32", [n * rows, channels], [0.5] * n * rows * channels)
        parts["row_hashes"] = ("I64", [n * rows], list(range(rows)) * n)
    if moment:
        triangle = channels * (channels + 1) // 2
        parts["moment"] = ("I64", [2, triangle], [2**48] * triangle + [0] * triangle)
        parts["moment_sum"] = ("I64", [2, channels], [2**48] * channels + [-1] * channels)
        parts["moment_rows"] = ("I64", [1], [3])
    return {f"{name}:{part}": values for part, values in parts.items()}


def stats():
    def metadata(**more):
        layers = {"n/q": "n/x", "n/k": "n/x", "v/conv": "v/conv"}
        return {"octavo.stats": json.dumps({
            "format_version": 2, "model_hash": "0", "schedule": "{}", "rows": 2, "moment_stride": 16,
            "prompts": ["1:a", "2:b"], "layers": layers, **more})}
    linear = one_input("n/x", [-1, 0, 1], rows=2, moment=True)
    whole = {**linear, **one_input("v/conv", [-1], channels=1)}

    def spoilt(part, index, value):
        dtype, shape, values = whole[part]
        return stats_file(metadata(), {**whole, part: (dtype, shape, [
            value if i == index % len(values) else v for i, v in enumerate(values)])})
    most = (2**63 - 1)
    seeds = {
        "whole": stats_file(metadata(), whole),
        "checkpoint": stats_file(metadata(unfinished={"memory": 9, "pass": 1, "prompts": ["2:b"]}), whole),
        "nothing": stats_file(metadata(layers={}), {}),
        "older": stats_file(metadata(format_version=1), whole),
        "layers": stats_file(metadata(layers={"n/q": "n/y"}), whole),
        "prompts": stats_file(metadata(prompts=["b", "a"]), whole),
        "sampling": stats_file(metadata(rows=2**40), whole),
        "no_metadata": stats_file({}, whole),
        "no_steps": stats_file(metadata(layers={"n/q": "n/x"}), one_input("n/x", [])),
        "no_channels": stats_file(metadata(layers={"n/q": "n/x"}),
                                  one_input("n/x", [0], channels=0, rows=2, moment=True)),
        "no_steps_many_channels": stats_file(metadata(layers={"n/q": "n/x"}), {
            **one_input("n/x", []), "n/x:channel_range": ("F32", [0, 2, 2**40], []),
            "n/x:channel_sum": ("I64", [0, 2**40, 2], [])}),
        "sums": stats_file(metadata(), {**whole, "n/x:channel_sum": ("I64", [3, 2, 2], [-1, most] * 6)}),
        "absmax_sums": stats_file(metadata(), {
            **whole, "n/x:sample_absmax_sum": ("I64", [3, 2], [-1, most] * 3)}),
        "moments": stats_file(metadata(), {
            **whole, "n/x:moment": ("I64", [2, 3], [-1] * 3 + [most] * 3)}),
        "least_moments": stats_file(metadata(), {
            **whole, "n/x:moment_sum": ("I64", [2, 2], [0] * 2 + [-most - 1] * 2)}),
        "nan": spoilt("n/x:channel_range", 1, float("nan")),
        "none": stats_file(metadata(), {**whole, "v/conv:channel_range": (
            "F32", [1, 2, 1], [float("inf"), float("-inf")])}),
        "count": spoilt("n/x:counts", 1, most), "rows": spoilt("n/x:counts", 3, 1),
        "hashes": spoilt("n/x:row_hashes", 0, 1), "steps": spoilt("n/x:steps", 0, 2**31),
        "moment_rows": spoilt("n/x:moment_rows", 0, 0),
        "part": stats_file(metadata(), {**whole, "n/x:else": ("F32", [1], [1.0])}),
        "missing": stats_file(metadata(), {k: v for k, v in whole.items() if k != "n/x:counts"}),
        "truncated": stats_file(metadata(), whole)[:-8],
    }
    for name, data in seeds.items():
        seed("stats", name, data)


def search_states():
    whole = {"octavo_search": 1, "identity": {"model": "0"}, "measurements": {"a": [1, 2.5], "b": []}}
    seeds = {
        "whole": whole, "version": {**whole, "octavo_search": 2}, "empty": {}, "array": [],
        "other": {**whole, "identity": {"model": "x" * 3000}}, "nobody": {**whole, "identity": {}},
        "controls": {**whole, "identity": {"model": "\u001b[2J\n"}},
        "types": {**whole, "measurements": {"a": ["1"]}}, "list": {**whole, "identity": ["model"]},
        "null": {**whole, "measurements": None},
    }
    for name, state in seeds.items():
        seed("search_state", name, json.dumps(state).encode())
    seed("search_state", "huge", b'{"octavo_search":1,"identity":{"model":"0"},"measurements":{"a":[1e999]}}')


if __name__ == "__main__":
    recipes()
    artifacts()
    stats()
    search_states()
