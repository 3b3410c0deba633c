#!/usr/bin/env python3
"""Writes kernels.safetensors: every op of the graph as PyTorch, diffusers and transformers have it.

Inputs are f32; outputs are computed in float64, or in f32 where the library itself does (timestep
embedding, T5's buckets). Metadata key "goldens" is JSON: library
versions and "cases": [{"op", "attrs", "inputs": [tensor or null], "outputs": [tensor]}].

    python make_kernel_goldens.py kernels.safetensors
"""
import json
import sys

import diffusers
import torch
import torch.nn.functional as F
import transformers
from diffusers.models.embeddings import (apply_rotary_emb, get_1d_rotary_pos_embed,
                                         get_timestep_embedding)
from diffusers.models.normalization import AdaLayerNormZeroSingle
from diffusers.models.upsampling import Upsample2D
from safetensors.torch import save_file
from transformers import T5Config
from transformers.models.t5.modeling_t5 import T5Attention

generator = torch.Generator().manual_seed(20240607)
tensors, cases = {}, []


def normal(*shape, scale=1.0):
    return torch.randn(shape, generator=generator) * scale


def add(op, attrs, inputs, *outputs):
    """One case; None stands for an absent operand."""
    number = len(cases)
    names = []
    for i, tensor in enumerate(inputs):
        name = None if tensor is None else f"{number:02d}.{op}.in{i}"
        if name:
            tensors[name] = tensor.contiguous().clone()
        names.append(name)
    results = []
    for i, tensor in enumerate(outputs):
        results.append(f"{number:02d}.{op}.out{i}")
        tensors[results[-1]] = tensor.contiguous().clone()
    cases.append({"op": op, "attrs": attrs, "inputs": names, "outputs": results})


def products():
    x, w, b = normal(2, 3, 17), normal(5, 17), normal(5)
    gate, residual = normal(2, 5), normal(2, 3, 5)
    y = F.linear(x.double(), w.double())
    add("linear", {}, [x, w], y)
    y = F.linear(x.double(), w.double(), b.double())
    add("linear", {"activation": "none"}, [x, w, b], y)
    acts = {"silu": F.silu, "gelu": F.gelu, "gelu_tanh": lambda v: F.gelu(v, approximate="tanh")}
    for name, act in acts.items():
        add("linear", {"activation": name}, [x, w, b], act(y))
    fused = residual.double() + gate.double()[:, None] * acts["gelu_tanh"](y)
    add("linear", {"activation": "gelu_tanh"}, [x, w, b, gate, residual], fused)
    add("linear", {}, [x, w, b, None, residual], residual.double() + y)
    add("linear", {}, [x, w, b, gate], gate.double()[:, None] * y)

    x, w, b = normal(2, 3, 7, 9), normal(4, 3, 3, 3), normal(4)
    for stride, pads in ((1, (1, 1, 1, 1)), (2, (0, 0, 1, 1)), (2, (2, 0, 1, 3))):
        top, left, bottom, right = pads
        padded = F.pad(x.double(), (left, right, top, bottom))
        y = F.conv2d(padded, w.double(), b.double(), stride=stride)
        residual = normal(*y.shape)
        attrs = {"stride": stride, "pads": list(pads)}
        add("conv2d", attrs, [x, w, b], y)
        add("conv2d", attrs, [x, w, None, residual],
            F.conv2d(padded, w.double(), stride=stride) + residual.double())
    w = normal(4, 3, 1, 1)
    add("conv2d", {"stride": 1, "pads": [0, 0, 0, 0]}, [x, w], F.conv2d(x.double(), w.double()))


def attention():
    q, k, v = normal(2, 5, 4, 6), normal(2, 7, 4, 6), normal(2, 7, 4, 6)
    mask = torch.zeros(2, 1, 1, 7)
    mask[0, ..., 4:] = torch.finfo(torch.float32).min
    mask[1] = torch.finfo(torch.float32).min  # a sample without a single key
    for bias in (None, mask, normal(1, 4, 5, 7), normal(2, 4, 5, 1)):
        args = [t.double().transpose(1, 2) for t in (q, k, v)]
        scale = 0.3
        y = F.scaled_dot_product_attention(*args, scale=scale,
                                           attn_mask=None if bias is None else bias.double())
        add("attention", {"scale": scale}, [q, k, v, bias], y.transpose(1, 2))
    k, v = normal(2, 7, 2, 6), normal(2, 7, 2, 6)
    args = [t.double().transpose(1, 2) for t in (q, k, v)]
    y = F.scaled_dot_product_attention(*args, scale=0.3, enable_gqa=True)
    add("attention", {"scale": 0.3}, [q, k, v], y.transpose(1, 2))


def norms():
    x, w, b = normal(2, 3, 10, scale=3), normal(10), normal(10)
    add("rms_norm", {"eps": 1e-6}, [x], F.rms_norm(x.double(), (10,), eps=1e-6))
    add("rms_norm", {"eps": 1e-6}, [x, w], F.rms_norm(x.double(), (10,), w.double(), 1e-6))
    x = x + 5
    add("layer_norm", {"eps": 1e-5}, [x], F.layer_norm(x.double(), (10,), eps=1e-5))
    y = F.layer_norm(x.double(), (10,), w.double(), b.double(), 1e-5)
    add("layer_norm", {"eps": 1e-5}, [x, w, b], y)
    y = F.layer_norm(x.double(), (10,), None, b.double(), 1e-5)
    add("layer_norm", {"eps": 1e-5}, [x, None, b], y)
    x, w, b = normal(2, 6, 3, 5), normal(6), normal(6)
    y = F.group_norm(x.double(), 3, w.double(), b.double(), 1e-6)
    add("group_norm", {"groups": 3, "eps": 1e-6}, [x, w, b], y)
    add("group_norm", {"groups": 3, "eps": 1e-6, "activation": "silu"}, [x, w, b], F.silu(y))

    # adaLN as Flux' single blocks do it: chunk order shift, scale, gate.
    module = AdaLayerNormZeroSingle(8).double()
    x, emb = normal(2, 3, 8), normal(2, 8)
    shift, scale, _ = module.linear(module.silu(emb.double())).float().chunk(3, dim=1)
    exact = module.norm(x.double()) * (1 + scale.double()[:, None]) + shift.double()[:, None]
    with torch.no_grad():
        add("norm_modulate", {"eps": 1e-6}, [x, scale.detach(), shift.detach()], exact.detach())


def rotary():
    axes, theta = [4, 6, 6], 10000.0
    ids = torch.tensor([[0, 0, 0], [0, 1, 2], [3, 7, 5], [1, 63, 511], [0, 4095, 1]])
    tables = [get_1d_rotary_pos_embed(d, ids[:, i].float(), theta=theta, use_real=True,
                                      repeat_interleave_real=True, freqs_dtype=torch.float64)
              for i, d in enumerate(axes)]
    cos, sin = (torch.cat([t[i] for t in tables], dim=-1) for i in (0, 1))
    attrs = {"axes": axes, "theta": theta}
    add("rope_table", attrs, [ids.float()], cos[:, ::2], sin[:, ::2])
    add("rope_table", attrs, [ids], cos[:, ::2], sin[:, ::2])
    x, w = normal(2, 5, 3, 16), normal(16)
    rotated = apply_rotary_emb(x.double(), (cos.double(), sin.double()), sequence_dim=1)
    half = [cos[:, ::2], sin[:, ::2]]
    # apply_rotary_emb rotates in f32; the same in float64 from its own definition.
    real, imag = x.double().reshape(2, 5, 3, 8, 2).unbind(-1)
    c, s = (t.double()[None, :, None] for t in half)
    exact = torch.stack([real * c - imag * s, imag * c + real * s], dim=-1).flatten(3)
    assert torch.allclose(rotated.double(), exact, atol=1e-6)
    add("rope", {}, [x, *half], exact)
    normed = F.rms_norm(x.double(), (16,), w.double(), 1e-6)
    real, imag = normed.reshape(2, 5, 3, 8, 2).unbind(-1)
    exact = torch.stack([real * c - imag * s, imag * c + real * s], dim=-1).flatten(3)
    add("qk_norm_rope", {"eps": 1e-6}, [x, w, *half], exact)


def elementwise():
    x = torch.cat([normal(12, scale=4), torch.tensor([0.0, -0.0, 30.0, -30.0, 100.0, -100.0])])
    add("silu", {}, [x], F.silu(x.double()))
    add("gelu", {"approximate": "tanh"}, [x], F.gelu(x.double(), approximate="tanh"))
    add("gelu", {"approximate": "none"}, [x], F.gelu(x.double()))
    functions = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}
    shapes = (((3, 4), (3, 4)), ((2, 3, 4), (3, 1)), ((4,), (2, 1, 4)), ((2, 1, 1), (1, 3, 4)),
              ((), (2, 2)))
    for name, function in functions.items():
        for a, b in shapes:
            a, b = normal(*a), normal(*b)
            add(name, {}, [a, b], function(a.double(), b.double()))
    add("affine", {"scale": 1000.0, "shift": -0.25}, [x], x.double() * 1000.0 - 0.25)
    y = torch.cat([x, torch.tensor([float("nan"), float("inf"), float("-inf")])])
    add("clamp", {"min": -1.5, "max": 2.0}, [y], y.double().clamp(-1.5, 2.0))
    y = torch.cat([x, torch.tensor([float("inf"), float("-inf"), 3.39e38, 1e-40])])
    add("cast", {"to": "bf16"}, [y], y.bfloat16())
    add("cast", {"to": "f16"}, [y * 1e4], (y * 1e4).half())
    add("cast", {"to": "f32"}, [torch.tensor([[0, -5], [2**24 + 1, 7]])],
        torch.tensor([[0, -5], [2**24 + 1, 7]]).float())


def movement():
    x = normal(2, 3, 4, 5)
    add("reshape", {"shape": [6, 20]}, [x], x.reshape(6, 20))
    for perm in ((0, 2, 1, 3), (3, 2, 1, 0), (0, 1, 2, 3)):
        add("transpose", {"perm": list(perm)}, [x], x.permute(perm))
    add("transpose", {"perm": [1, 0]}, [x.reshape(6, 20).bfloat16()],
        x.reshape(6, 20).bfloat16().T)
    for axis in range(4):
        y = normal(*[7 if i == axis else d for i, d in enumerate(x.shape)])
        add("concat", {"axis": axis}, [x, y, x], torch.cat([x, y, x], dim=axis))
        end = x.shape[axis]
        add("slice", {"axis": axis, "begin": 1, "end": end}, [x], x.narrow(axis, 1, end - 1))
    add("expand", {"shape": [2, 3, 5]}, [x[0, :, :1, 0]],
        x[0, :, :1, 0].expand(2, 3, 5))
    add("upsample_nearest", {"factor": 2}, [x], Upsample2D(3)(x))
    table, ids = normal(11, 6), torch.tensor([[0, 10, 3], [3, 3, 7]])
    add("embedding", {}, [table, ids], F.embedding(ids, table))


def conditioning():
    t = torch.tensor([0.0, 1.0, 0.5, 999.0, 1000.0, 261.7])
    for flip, shift in ((True, 0.0), (False, 1.0)):
        attrs = {"dim": 16, "flip_sin_to_cos": flip, "freq_shift": shift, "max_period": 10000.0}
        add("timestep_embedding", attrs, [t], get_timestep_embedding(t, 16, flip, shift))
    for bidirectional in (True, False):
        config = T5Config(d_model=8, d_kv=4, num_heads=2, relative_attention_num_buckets=32,
                          relative_attention_max_distance=128, is_decoder=not bidirectional)
        module = T5Attention(config, has_relative_attention_bias=True, layer_idx=0)
        table = normal(32, 2)
        module.relative_attention_bias.weight.data = table
        with torch.no_grad():
            bias = module.compute_bias(140, 140)
        add("relative_position_bias", {"max_distance": 128, "bidirectional": bidirectional},
            [table, normal(1, 140, 1)], bias)
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    lowest = torch.zeros(2, 1, 1, 3).masked_fill(mask[:, None, None] == 0,
                                                 torch.finfo(torch.float32).min)
    add("mask_bias", {}, [mask], lowest)
    add("mask_bias", {}, [mask.bool()], lowest)
    add("mask_bias", {}, [mask.float()], lowest)


def quantization():
    # Symmetric int8 by token and e4m3 by tensor, as torchao's primitives define them.
    x = normal(5, 12, scale=2)
    x[3] = 0
    scale = (x.abs().amax(dim=1, keepdim=True) / 127).clamp(min=torch.finfo(torch.float32).tiny)
    live = scale[[0, 1, 2, 4]]
    codes = torch.round(x[[0, 1, 2, 4]] / live).clamp(-128, 127).to(torch.int8)
    add("quantize", {"spec": "i8/1x*/dynamic/f32"}, [x[[0, 1, 2, 4]]], codes, live)
    fixed = torch.tensor([[0.05]])
    codes = torch.round(x / fixed).clamp(-128, 127).to(torch.int8)
    add("quantize", {"spec": "i8/*x*/static/f32"}, [x, fixed], codes, fixed)
    scale8 = (x.abs().max() / 448).reshape(1, 1)
    codes8 = (x / scale8).clamp(-448, 448).to(torch.float8_e4m3fn)
    add("quantize", {"spec": "e4m3/*x*/dynamic/f32"}, [x], codes8, scale8)
    add("dequantize", {"spec": "e4m3/*x*/dynamic/f32", "shape": [5, 12]}, [codes8, scale8],
        codes8.float() * scale8)
    grouped = (normal(4, 12).abs() + 0.1)[:, :3]
    points = torch.tensor([[0.0, -3.0, 5.0]] * 4)
    w = torch.randint(-128, 128, (4, 12), generator=generator).to(torch.int8)
    real = (w.float() - points.repeat_interleave(4, 1)) * grouped.repeat_interleave(4, 1)
    attrs = {"spec": "i8/1x4/static/f32/zp", "rows": "first"}
    add("dequantize", {**attrs, "shape": [4, 12]}, [w, grouped, points], real)
    quantized_products(w, grouped, points, codes8, scale8, x)


def quantized_products(w, grouped, points, codes8, scale8, x):
    b, gate, residual = normal(4), normal(5, 4), normal(5, 4)
    real_w = ((w.double() - points.double().repeat_interleave(4, 1))
              * grouped.double().repeat_interleave(4, 1))
    add("quantized_linear", {"w_spec": "i8/1x4/static/f32/zp"},
        [x, None, w, grouped, points, b], F.linear(x.double(), real_w, b.double()))
    w8 = normal(4, 12).to(torch.float8_e4m3fn)
    scale_w = normal(4, 1).abs() + 0.1
    real_x, real_w = codes8.double() * scale8.double(), w8.double() * scale_w.double()
    y = F.silu(F.linear(real_x, real_w, b.double()))
    attrs = {"x_spec": "e4m3/*x*/dynamic/f32", "w_spec": "e4m3/1x*/static/f32"}
    add("quantized_linear", {**attrs, "activation": "silu"},
        [codes8, scale8, w8, scale_w, None, b, gate, residual],
        residual.double() + gate.double() * y)
    xi = torch.randint(-128, 128, (2, 3, 5, 6), generator=generator).to(torch.int8)
    wi = torch.randint(-128, 128, (4, 3, 3, 3), generator=generator).to(torch.int8)
    sx, sw = torch.tensor([[0.02]]), normal(4, 1).abs() * 0.01
    y = F.conv2d(xi.double() * sx.double()[0], wi.double() * sw.double()[..., None, None],
                 b.double(), padding=1)
    residual = normal(*y.shape)
    attrs = {"x_spec": "i8/*x*/static/f32", "w_spec": "i8/1x*/static/f32", "stride": 1,
             "pads": [1, 1, 1, 1]}
    add("quantized_conv2d", attrs, [xi, sx, wi, sw, None, b, residual], y + residual.double())


def quantized_attention():
    """Two key heads for four of queries; weights rounded where the attribute says so."""
    spec = {f"{x}_spec": f"e4m3/{t}/f32" for x, t in
            (("q", "*x*/static"), ("k", "1x*/dynamic"), ("v", "*x*/static"))}
    q = normal(2, 5, 4, 8).to(torch.float8_e4m3fn)
    k, v = (normal(2, 7, 2, 8).to(torch.float8_e4m3fn) for _ in range(2))
    one = torch.tensor([[0.7]])
    rows = normal(2 * 7 * 2, 1).abs() + 0.5
    bias = normal(2, 1, 1, 7)
    real_k = k.float() * rows.reshape(2, 7, 2, 1)
    heads = [x.double().repeat_interleave(4 // x.shape[2], 2).transpose(1, 2)
             for x in (q.float() * one[0], real_k, v.float() * one[0])]
    scores = 0.25 * heads[0] @ heads[1].transpose(-1, -2) + bias.double()
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    rounded = (weights * 256).float().to(torch.float8_e4m3fn).double() / 256
    for attrs, used in (({}, weights), ({"weights": "e4m3"}, rounded)):
        y = (used @ heads[2] / weights.sum(-1, keepdim=True)).transpose(1, 2)
        add("quantized_attention", {"scale": 0.25, **spec, **attrs},
            [q, one, k, rows, v, one, bias], y)


def transforms():
    sylvester = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(3):
        sylvester = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64), sylvester)
    x = normal(2, 3, 24)
    y = x.double().reshape(2, 3, 3, 8) @ sylvester.T / 8 ** 0.5
    add("hadamard", {"block": 8}, [x], y.reshape(2, 3, 24))
    t, steps, values = torch.tensor([0.31, 0.9, -2.0]), torch.tensor([0.1, 0.3, 0.75, 1.0]), normal(4, 1).abs()
    nearest = (t[:, None] - steps[None]).abs().argmin(1)
    add("step_scale", {}, [t, steps, values], values[nearest])


def main():
    torch.manual_seed(1)  # the initial weights of modules
    for part in (products, attention, norms, rotary, elementwise, movement, conditioning,
                 quantization, quantized_attention, transforms):
        part()
    about = {"torch": torch.__version__, "diffusers": diffusers.__version__,
             "transformers": transformers.__version__, "cases": cases}
    save_file(tensors, sys.argv[1], {"goldens": json.dumps(about)})
    print(f"{len(cases)} cases, {sum(t.nbytes for t in tensors.values())} bytes")


if __name__ == "__main__":
    main()
