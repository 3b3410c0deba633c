#include "kernels/naive.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>

#include "octavo/quant_spec.h"
#include "tensor/quantize.h"

namespace octavo::test {
namespace {

using Floats = std::vector<float>;

// Operands as f32, absent ones empty, with the call's shapes.
struct Args {
  const Call& call;
  std::vector<Floats> in;
  bool has(size_t i) const { return i < call.inputs.size() && call.inputs[i].has_value(); }
  const Shape& shape(size_t i) const { return call.inputs[i]->shape; }
  int64_t last(size_t i) const { return shape(i).empty() ? 1 : shape(i).back(); }
  int64_t outputs() const { return element_count(call.outputs[0].shape); }
  double real(const char* key) const { return call.attrs.get_double(key); }
  float at(size_t i, int64_t index) const { return in[i][static_cast<size_t>(index)]; }
};

float silu(float x) { return x / (1.0f + std::exp(-x)); }
float gelu(float x) { return 0.5f * x * (1.0f + std::erf(x * 0.70710678f)); }
float gelu_tanh(float x) {
  return 0.5f * x * (1.0f + std::tanh(0.7978846f * (x + 0.044715f * x * x * x)));
}

float activate(const Args& a, float x) {
  const std::string kind = a.call.attrs.get_string_or("activation", "none");
  return kind == "silu"        ? silu(x)
         : kind == "gelu"      ? gelu(x)
         : kind == "gelu_tanh" ? gelu_tanh(x)
                               : x;
}

// The row of a [B, D] operand that element i of an output [B, ..., D] reads.
int64_t sample_of(const Args& a, size_t input, int64_t i) {
  const int64_t per_sample = a.outputs() / a.shape(input)[0];
  return i / per_sample * a.last(input) + i % a.last(input);
}

Floats linear(const Args& a) {
  const int64_t k = a.last(0), n = a.shape(1)[0];
  Floats y(static_cast<size_t>(a.outputs()));
  for (int64_t i = 0; i < a.outputs(); ++i) {
    float v = 0;
    for (int64_t j = 0; j < k; ++j) v += a.at(0, i / n * k + j) * a.at(1, i % n * k + j);
    if (a.has(2)) v += a.at(2, i % n);
    v = activate(a, v);
    if (a.has(3)) v *= a.at(3, sample_of(a, 3, i));
    if (a.has(4)) v += a.at(4, i);
    y[static_cast<size_t>(i)] = v;
  }
  return y;
}

Floats conv2d(const Args& a) {
  const Shape &x = a.shape(0), &w = a.shape(1), &out = a.call.outputs[0].shape;
  const int64_t stride = a.call.attrs.get_int("stride");
  const auto& pads = a.call.attrs.get_ints("pads");
  Floats y;
  for (int64_t i = 0; i < a.outputs(); ++i) {
    const int64_t ow = i % out[3], oh = i / out[3] % out[2], n = i / out[3] / out[2] % out[1];
    const int64_t b = i / out[3] / out[2] / out[1];
    float v = 0;
    for (int64_t tap = 0; tap < w[1] * w[2] * w[3]; ++tap) {
      const int64_t iw = ow * stride - pads[1] + tap % w[3];
      const int64_t ih = oh * stride - pads[0] + tap / w[3] % w[2], c = tap / w[3] / w[2];
      if (iw < 0 || iw >= x[3] || ih < 0 || ih >= x[2]) continue;
      v +=
          a.at(0, ((b * x[1] + c) * x[2] + ih) * x[3] + iw) * a.at(1, n * w[1] * w[2] * w[3] + tap);
    }
    if (a.has(2)) v += a.at(2, n);
    if (a.has(3)) v += a.at(3, i);
    y.push_back(v);
  }
  return y;
}

float attention_bias(const Args& a, int64_t b, int64_t h, int64_t s, int64_t t) {
  if (!a.has(3)) return 0;
  const Shape& shape = a.shape(3);
  int64_t at = 0, axis = 0;
  for (const int64_t index : {b, h, s, t}) {
    const int64_t extent = shape[static_cast<size_t>(axis++)];
    at = at * extent + (extent == 1 ? 0 : index);
  }
  return a.at(3, at);
}

Floats attention(const Args& a) {
  const Shape &q = a.shape(0), &k = a.shape(1);
  const int64_t keys = k[1], depth = q[3];
  const float scale = static_cast<float>(a.real("scale"));
  Floats y;
  for (int64_t row = 0; row < q[0] * q[1] * q[2]; ++row) {
    const int64_t h = row % q[2], s = row / q[2] % q[1], b = row / q[2] / q[1];
    const auto key = [&](int64_t t) { return ((b * keys + t) * k[2] + h * k[2] / q[2]) * depth; };
    Floats p;
    float highest = std::numeric_limits<float>::lowest(), sum = 0;
    for (int64_t t = 0; t < keys; ++t) {
      float dot = 0;
      for (int64_t d = 0; d < depth; ++d) dot += a.at(0, row * depth + d) * a.at(1, key(t) + d);
      p.push_back(dot * scale + attention_bias(a, b, h, s, t));
      highest = std::max(highest, p.back());
    }
    for (float& v : p) sum += v = std::exp(v - highest);
    for (int64_t d = 0; d < depth; ++d) {
      float v = 0;
      for (int64_t t = 0; t < keys; ++t) {
        v += p[static_cast<size_t>(t)] / sum * a.at(2, key(t) + d);
      }
      y.push_back(v);
    }
  }
  return y;
}

// Rows of `row` elements: (x - mean) / sqrt(var + eps), or without the mean.
Floats normalise(const Args& a, int64_t row, bool centred) {
  const float eps = static_cast<float>(a.real("eps")), n = static_cast<float>(row);
  Floats y = a.in[0];
  for (size_t begin = 0; begin < y.size(); begin += static_cast<size_t>(row)) {
    float* x = y.data() + begin;
    float mean = 0, square = 0;
    for (int64_t i = 0; centred && i < row; ++i) mean += x[i] / n;
    for (int64_t i = 0; i < row; ++i) square += (x[i] - mean) * (x[i] - mean);
    for (int64_t i = 0; i < row; ++i) x[i] = (x[i] - mean) / std::sqrt(square / n + eps);
  }
  return y;
}

Floats scaled_and_shifted(const Args& a, Floats y, int64_t inner, int64_t channels) {
  const bool shifted = a.call.op == Op::layer_norm || a.call.op == Op::group_norm;
  for (size_t i = 0; i < y.size(); ++i) {
    const int64_t c = static_cast<int64_t>(i) / inner % channels;
    if (a.has(1)) y[i] *= a.at(1, c);
    if (shifted && a.has(2)) y[i] += a.at(2, c);
    y[i] = activate(a, y[i]);
  }
  return y;
}

Floats row_norm(const Args& a) {
  return scaled_and_shifted(a, normalise(a, a.last(0), a.call.op == Op::layer_norm), 1, a.last(0));
}

Floats group_norm(const Args& a) {
  const Shape& x = a.shape(0);
  const int64_t inner = x[0] == 0 ? 1 : element_count(x) / x[0] / x[1];
  const int64_t row = x[1] / a.call.attrs.get_int("groups") * inner;
  return scaled_and_shifted(a, normalise(a, row, true), inner, x[1]);
}

Floats norm_modulate(const Args& a) {
  Floats y = normalise(a, a.last(0), true);
  for (int64_t i = 0; i < a.outputs(); ++i) {
    float& v = y[static_cast<size_t>(i)];
    v = v * (1.0f + a.at(1, sample_of(a, 1, i))) + a.at(2, sample_of(a, 2, i));
  }
  return y;
}

Floats rotate(const Args& a, Floats x, size_t cos) {
  const Shape& shape = a.shape(0);
  for (size_t i = 0; i < x.size(); i += 2) {
    const int64_t row = static_cast<int64_t>(i) / shape[3],
                  pair = static_cast<int64_t>(i) % shape[3];
    const int64_t at = row / shape[2] % shape[1] * (shape[3] / 2) + pair / 2;
    const float even = x[i], odd = x[i + 1], c = a.at(cos, at), s = a.at(cos + 1, at);
    x[i] = even * c - odd * s;
    x[i + 1] = odd * c + even * s;
  }
  return x;
}

Floats rope(const Args& a) { return rotate(a, a.in[0], 1); }

Floats qk_norm_rope(const Args& a) {
  return rotate(a, scaled_and_shifted(a, normalise(a, a.last(0), false), 1, a.last(0)), 2);
}

Floats pointwise(const Args& a) {
  Floats y = a.in[0];
  const Attrs& attrs = a.call.attrs;
  for (float& v : y) {
    if (a.call.op == Op::silu) v = silu(v);
    if (a.call.op == Op::gelu)
      v = attrs.get_string("approximate") == "tanh" ? gelu_tanh(v) : gelu(v);
    if (a.call.op == Op::affine) {
      v = v * static_cast<float>(a.real("scale")) + static_cast<float>(a.real("shift"));
    }
  }
  return y;
}

int64_t broadcast_index(const Shape& out, const Shape& in, int64_t i) {
  int64_t at = 0, stride = 1;
  for (size_t back = 1; back <= in.size(); ++back) {
    const int64_t extent = in[in.size() - back], index = i % out[out.size() - back];
    at += extent == 1 ? 0 : index * stride;
    stride *= extent;
    i /= out[out.size() - back];
  }
  return at;
}

Floats binary(const Args& a) {
  Floats y;
  const Shape& out = a.call.outputs[0].shape;
  for (int64_t i = 0; i < a.outputs(); ++i) {
    const float u = a.at(0, broadcast_index(out, a.shape(0), i));
    const float v = a.at(1, broadcast_index(out, a.shape(1), i));
    y.push_back(a.call.op == Op::add   ? u + v
                : a.call.op == Op::sub ? u - v
                : a.call.op == Op::mul ? u * v
                                       : u / v);
  }
  return y;
}

Floats hadamard(const Args& a) {
  const int64_t block = a.call.attrs.get_int("block");
  const float norm = std::sqrt(static_cast<float>(block));
  Floats y;
  for (int64_t i = 0; i < a.outputs(); ++i) {
    const int64_t first = i / block * block;
    float v = 0;
    for (int64_t j = 0; j < block; ++j) {
      const bool minus = std::popcount(static_cast<uint64_t>((i - first) & j)) % 2 == 1;
      v += minus ? -a.at(0, first + j) : a.at(0, first + j);
    }
    y.push_back(v / norm);
  }
  return y;
}

Floats timestep_embedding(const Args& a) {
  const int64_t dim = a.call.attrs.get_int("dim"), half = dim / 2;
  const float period = -std::log(static_cast<float>(a.real("max_period")));
  const float divisor = static_cast<float>(half) - static_cast<float>(a.real("freq_shift"));
  Floats y;
  for (int64_t i = 0; i < a.outputs(); ++i) {
    const float f = std::exp(period * static_cast<float>(i % half) / divisor);
    const float angle = a.at(0, i / dim) * f;
    const bool first = i % dim < half;
    y.push_back(first == a.call.attrs.get_bool("flip_sin_to_cos") ? std::cos(angle)
                                                                  : std::sin(angle));
  }
  return y;
}

// Codes with their scales and zero points, in f32.
Tensor real(const Tensor& codes, const QuantSpec& spec, MatrixView view, const Tensor& scale,
            const std::optional<Tensor>& zero_point) {
  const auto [rows, cols] = matrix_extents(codes.shape(), view);
  Floats values = codes.to_floats();
  const Floats s = scale.to_floats(), zp = zero_point ? zero_point->to_floats() : Floats();
  const int64_t across = spec.scale_shape(rows, cols)[1];
  for (int64_t i = 0; i < rows * cols; ++i) {
    const int64_t down = spec.tile_rows ? i / cols / spec.tile_rows : 0;
    const int64_t tile = down * across + (spec.tile_cols ? i % cols / spec.tile_cols : 0);
    float& v = values[static_cast<size_t>(i)];
    v = (v - (zero_point ? zp[static_cast<size_t>(tile)] : 0.0f)) * s[static_cast<size_t>(tile)];
  }
  return Tensor::from(values, codes.shape());
}

const std::map<Op, Floats (*)(const Args&)> kNaive = {
    {Op::linear, linear},
    {Op::conv2d, conv2d},
    {Op::attention, attention},
    {Op::rms_norm, row_norm},
    {Op::layer_norm, row_norm},
    {Op::group_norm, group_norm},
    {Op::norm_modulate, norm_modulate},
    {Op::rope, rope},
    {Op::qk_norm_rope, qk_norm_rope},
    {Op::silu, pointwise},
    {Op::gelu, pointwise},
    {Op::affine, pointwise},
    {Op::add, binary},
    {Op::sub, binary},
    {Op::mul, binary},
    {Op::div, binary},
    {Op::timestep_embedding, timestep_embedding},
    {Op::hadamard, hadamard},
};

FloatCall dequantized_attention(const Call& call, const Inputs& inputs) {
  FloatCall result;
  const auto add = [&](size_t at, const char* key) {
    const QuantSpec spec = QuantSpec::parse(call.attrs.get_string(key));
    result.inputs.emplace_back(
        real(*inputs[at], spec, MatrixView::activation, *inputs[at + 1], std::nullopt));
  };
  add(0, "q_spec"), add(2, "k_spec"), add(4, "v_spec");
  const bool biased = inputs.size() > 6 && inputs[6];
  result.inputs.push_back(biased ? std::optional(inputs[6]->to(DType::f32)) : std::nullopt);
  result.call =
      make_call(Op::attention, {{"scale", call.attrs.get_double("scale")}}, result.inputs);
  return result;
}

}  // namespace

FloatCall dequantized(const Call& call, const Inputs& inputs) {
  FloatCall result{call, inputs};
  if (call.attrs.has("out_spec")) {
    result.call.attrs.erase("out_spec");
    result.call.outputs = {{DType::f32, call.outputs[0].shape, nullptr}};
  }
  if (call.op == Op::quantized_attention) return dequantized_attention(call, inputs);
  const bool linear = call.op == Op::quantized_linear;
  if (!linear && call.op != Op::quantized_conv2d) return result;
  const MatrixView view = linear ? MatrixView::activation : MatrixView::weight;
  const auto spec = [&](const char* key) { return QuantSpec::parse(call.attrs.get_string(key)); };
  Tensor x = *inputs[0];
  if (inputs[1]) x = real(x, spec("x_spec"), view, *inputs[1], std::nullopt);
  const Tensor w = real(*inputs[2], spec("w_spec"), MatrixView::weight, *inputs[3], inputs[4]);
  result.inputs = {x.to(DType::f32), w};
  for (size_t i = 5; i < std::min(inputs.size(), size_t{8}); ++i) {
    result.inputs.push_back(inputs[i] ? std::optional(inputs[i]->to(DType::f32)) : std::nullopt);
  }
  Attrs attrs;
  for (const char* key : {"activation", "stride", "pads"}) {
    if (call.attrs.has(key)) attrs.set(key, call.attrs.map().at(key));
  }
  result.call = make_call(linear ? Op::linear : Op::conv2d, attrs, result.inputs);
  return result;
}

std::optional<std::vector<float>> naive(const Call& call, const Inputs& inputs) {
  const FloatCall plain_call = dequantized(call, inputs);
  const auto found = kNaive.find(plain_call.call.op);
  if (found == kNaive.end()) return std::nullopt;
  Args args{plain_call.call, {}};
  for (const auto& input : plain_call.inputs) {
    args.in.push_back(input ? input->to_floats() : Floats());
  }
  return found->second(args);
}

}  // namespace octavo::test
