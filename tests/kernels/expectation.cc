#include "kernels/expectation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/naive.h"
#include "octavo/quant_spec.h"
#include "support.h"

namespace octavo::test {
namespace {

constexpr double kHalfUlpF32 = 0x1p-24;

// Does the op promise the reference's bits?
bool exact(const Call& call) {
  switch (call.op) {
    case Op::add:
    case Op::sub:
    case Op::mul:
    case Op::div:
      return call.outputs[0].dtype == DType::f32;
    case Op::quantized_linear:
    case Op::quantized_conv2d: {
      const QuantSpec w = QuantSpec::parse(call.attrs.get_string("w_spec"));
      if (!call.attrs.has("x_spec") || w.format != "i8" || w.tile_cols != 0 || w.zero_point) {
        return false;
      }
      const QuantSpec x = QuantSpec::parse(call.attrs.get_string("x_spec"));
      return x.format == "i8" && x.tile_cols == 0 &&
             call.attrs.get_string_or("activation", "none") == "none";
    }
    case Op::clamp:
    case Op::cast:
    case Op::reshape:
    case Op::transpose:
    case Op::concat:
    case Op::slice:
    case Op::expand:
    case Op::upsample_nearest:
    case Op::embedding:
    case Op::relative_position_bias:
    case Op::mask_bias:
    case Op::step_scale:
    case Op::quantize:
    case Op::dequantize:
      return true;
    default:
      return false;
  }
}

Doubles to_doubles(const Tensor& t) {
  const Tensor wide = t.to(DType::f64);
  return {wide.as<double>(), wide.as<double>() + wide.elements()};
}

// The reference's output before it is rounded to the output's type.
Doubles unrounded(const FloatCall& c) {
  Call wide = c.call;
  wide.outputs[0].dtype = DType::f64;
  return to_doubles(launch(reference(wide.op), wide, c.inputs)[0]);
}

// sum |x| |w| + ... of a product: the reference over magnitudes, without its activation.
Doubles product_magnitudes(const FloatCall& c) {
  FloatCall sizes = c;
  sizes.call.attrs.erase("activation");
  for (auto& input : sizes.inputs) {
    if (!input) continue;
    std::vector<float> v = input->to_floats();
    for (float& x : v) x = std::fabs(x);
    input = Tensor::from(v, input->shape()).to(input->dtype());
  }
  return unrounded(sizes);
}

double largest_of(const Doubles& v) {
  double result = 0;
  for (const double x : v) result = std::max(result, std::fabs(x));
  return result;
}

Doubles elementwise_magnitudes(const FloatCall& c, const Doubles& y) {
  Doubles m(y.size());
  for (size_t i = 0; i < y.size(); ++i) m[i] = std::fabs(y[i]);
  if (c.call.inputs[0]->shape != c.call.outputs[0].shape) return m;
  const Doubles x = to_doubles(*c.inputs[0]);
  for (size_t i = 0; i < y.size(); ++i) m[i] = std::max(m[i], std::fabs(x[i]));
  return m;
}

// The largest of its row; for normalised rows at least the largest parameter, since what they
// multiply is of the order of 1.
Doubles row_magnitudes(const FloatCall& c, const Doubles& y) {
  double parameter = 0;
  const Op op = c.call.op;
  const bool norm = op == Op::rms_norm || op == Op::layer_norm || op == Op::group_norm ||
                    op == Op::norm_modulate || op == Op::qk_norm_rope;
  for (size_t i = 1; norm && i < std::min<size_t>(c.inputs.size(), 3); ++i) {
    if (c.inputs[i]) parameter = std::max(parameter, largest_of(to_doubles(*c.inputs[i])));
  }
  Doubles m;
  const size_t row = std::max<size_t>(1, static_cast<size_t>(c.call.outputs[0].shape.back()));
  for (size_t i = 0; i < y.size(); i += row) {
    const auto begin = y.begin() + static_cast<std::ptrdiff_t>(i);
    m.insert(m.end(), row,
             std::max(parameter, largest_of({begin, begin + static_cast<std::ptrdiff_t>(row)})));
  }
  return m;
}

// sum p |v| of attention.
Doubles attention_magnitudes(const FloatCall& c) {
  constexpr size_t kV = 2;
  FloatCall sizes = c;
  std::vector<float> v = sizes.inputs[kV]->to_floats();
  for (float& x : v) x = std::fabs(x);
  sizes.inputs[kV] = Tensor::from(v, sizes.inputs[kV]->shape()).to(sizes.inputs[kV]->dtype());
  return unrounded(sizes);
}

// What an element's error is measured against.
Doubles magnitudes(const FloatCall& c, const Doubles& y) {
  switch (c.call.op) {
    case Op::linear:
    case Op::conv2d:
      return product_magnitudes(c);
    case Op::attention:
    case Op::quantized_attention:
      return attention_magnitudes(c);
    case Op::silu:
    case Op::gelu:
    case Op::affine:
    case Op::add:
    case Op::sub:
    case Op::mul:
    case Op::div:
      return elementwise_magnitudes(c, y);
    default:
      return row_magnitudes(c, y);
  }
}

double half_ulp(DType dtype) { return std::ldexp(1.0, -info(dtype).mantissa_bits - 1); }

// Roundings that are each right can all be in one direction only if something is wrong.
void expect_close_together(const Expectation& e, const Doubles& values) {
  if (e.weights_error == 0) return;
  double error = 0, power = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(e.y[i])) continue;
    error += (values[i] - e.y[i]) * (values[i] - e.y[i]);
    power += e.y[i] * e.y[i];
  }
  EXPECT_LE(std::sqrt(error), e.weights_error * std::sqrt(power));
}

void expect_close(const Expectation& e, const Tensor& found, double extra) {
  const Doubles values = to_doubles(found), rounded = to_doubles(e.reference[0]);
  const double relative = 2 * e.naive_error + 4 * kHalfUlpF32 + extra + e.weights_error;
  const double smallest = found.dtype() == DType::f16 ? 0x1p-25 : 0x1p-133;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(rounded[i])) {
      ASSERT_EQ(std::isnan(values[i]), std::isnan(rounded[i])) << "element " << i;
      ASSERT_TRUE(std::isnan(values[i]) || values[i] == rounded[i]) << "element " << i;
      continue;
    }
    const double allowed =
        (relative * e.magnitude[i] + half_ulp(found.dtype()) * std::fabs(e.y[i])) * (1 + 1e-6) +
        e.weights_floor;
    ASSERT_LE(std::fabs(values[i] - e.y[i]), allowed + smallest)
        << "element " << i << " is " << values[i] << ", expected " << e.y[i] << ", naive error "
        << e.naive_error;
  }
  expect_close_together(e, values);
}

// Codes of slightly different values: now and then the neighbouring code, under nearly the same
// scale. What a kernel may be wrong by on top can be several steps of small codes.
void expect_close_codes(const Expectation& e, const std::vector<Tensor>& found, double extra) {
  const Doubles codes = to_doubles(found[0]), expected = to_doubles(e.reference[0]);
  const Doubles scale = to_doubles(found[1]), expected_scale = to_doubles(e.reference[1]);
  const double top = info(found[0].dtype()).max;
  for (size_t i = 0; i < scale.size(); ++i) {
    const double allowed =
        (2 * e.naive_error + 4 * kHalfUlpF32 + extra) * largest_of(e.magnitude) / top;
    ASSERT_NEAR(scale[i], expected_scale[i], allowed + 2 * kHalfUlpF32 * expected_scale[i]);
  }
  size_t different = 0;
  for (size_t i = 0; i < codes.size(); ++i) {
    const double by_error = (extra * e.magnitude[i] + e.weights_floor) /
                            expected_scale[i * scale.size() / codes.size()];
    const double step =
        found[0].dtype() == DType::i8
            ? 1.0
            : std::max(0x1p-9, std::max(std::fabs(codes[i]), std::fabs(expected[i])) / 8);
    ASSERT_LE(std::fabs(codes[i] - expected[i]), step + by_error) << "code " << i;
    different += codes[i] != expected[i];
  }
  EXPECT_LE(different, codes.size() / (extra > 0 ? 10 : 100) + 1)
      << "of " << codes.size() << " codes";
}

// Half a step of the weights' format, and of its smallest numbers where units are four times as
// large as the reference's: relative to the row's largest weight, which is in the sum of them.
void set_weights_error(const FloatCall& c, DType format, Expectation& e) {
  constexpr size_t kV = 2;
  const Tensor& v = *c.inputs[kV];
  double mean = 0;
  for (const double x : to_doubles(v)) mean += std::fabs(x) / static_cast<double>(v.elements());
  const bool whole = format == DType::i8;
  const double smallest = whole ? 1.0 : std::ldexp(1.0, format == DType::e4m3 ? -9 : -16);
  const double unit = std::exp2(std::floor(std::log2(info(format).max))) / 4;
  e.weights_error = whole ? 0x1p-4 : half_ulp(format);
  e.weights_floor = smallest / 2 / unit * mean * static_cast<double>(c.call.inputs[1]->shape[1]);
}

}  // namespace

const Kernel& reference(Op op) { return cpu_kernels(op).back(); }

Call call_of(const Case& c, bool with_constants) {
  return make_call(c.op, c.attrs, c.inputs, "case",
                   with_constants ? c.constants : std::vector<size_t>());
}

Expectation expect(const Case& c) {
  Expectation e;
  const Call call = call_of(c, false);
  e.reference = launch(reference(c.op), call, c.inputs);
  e.exact = exact(call);
  if (e.exact) return e;
  const FloatCall floats = dequantized(call, c.inputs);
  // A quantized product is measured against its own reference, with that one's f32 epilogue.
  Call self = call;
  self.attrs.erase("out_spec");
  if (call.attrs.has("weights")) {
    // Half a step of the format, and of its smallest numbers.
    self.attrs.erase("weights");
    set_weights_error(floats, *find_dtype(call.attrs.get_string("weights")), e);
  }
  self.outputs.resize(call.attrs.has("out_spec") ? 1 : self.outputs.size());
  Inputs inputs = c.inputs;
  if (call.attrs.has("out_spec")) inputs.back() = std::nullopt;
  e.y = unrounded({self, inputs});
  e.magnitude = magnitudes(floats, e.y);
  const auto plain_f32 = naive(call, c.inputs);
  for (size_t i = 0; plain_f32 && i < e.y.size(); ++i) {
    if (e.magnitude[i] == 0 || !std::isfinite(e.y[i])) continue;
    e.naive_error =
        std::max(e.naive_error, std::fabs(double{(*plain_f32)[i]} - e.y[i]) / e.magnitude[i]);
  }
  EXPECT_LT(e.naive_error, 2e-3) << "a naive f32 evaluation and the reference disagree altogether";
  return e;
}

void expect_agreement(const Expectation& e, const std::vector<Tensor>& found, double extra) {
  ASSERT_EQ(found.size(), e.reference.size());
  if (e.exact) {
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_TRUE(equal_bytes(found[i], e.reference[i])) << "output " << i;
    }
  } else if (is_float(found[0].dtype()) && info(found[0].dtype()).bits > 8) {
    for (size_t i = 1; i < found.size(); ++i) {
      EXPECT_TRUE(equal_bytes(found[i], e.reference[i])) << "output " << i;
    }
    expect_close(e, found[0], extra);
  } else {
    expect_close_codes(e, found, extra + e.weights_error);
  }
}

void expect_trustworthy(const Case& c, const Tensor& output) {
  const std::vector<float> v = output.to_floats();
  const auto zeros = static_cast<size_t>(std::count(v.begin(), v.end(), 0.0f));
  EXPECT_TRUE(c.sparse || v.empty() || 2 * zeros <= v.size())
      << "mistrusted: " << zeros << " of " << v.size() << " expected values are 0";
}

}  // namespace octavo::test
