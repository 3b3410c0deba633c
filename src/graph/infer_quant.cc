#include <algorithm>
#include <bit>

#include "graph/infer.h"

namespace octavo::infer {
namespace {

// Number of tiles of `tile` indices over an extent; 0 is the whole extent.
Dim tiles(const Dim& extent, int64_t tile) {
  return tile == 0 ? Dim(1) : floor_div(extent + Dim(tile - 1), tile);
}

QuantSpec spec_of(const Attrs& attrs, const char* key) {
  return QuantSpec::parse(attrs.get_string(key));
}

bool rows_first(const Attrs& attrs) {
  check_choice(attrs, "rows", {"leading", "first"});
  return attrs.get_string_or("rows", "leading") == "first";
}

void check_activation_spec(const QuantSpec& spec, const char* key) {
  OCTAVO_CHECK(!spec.zero_point, "{} {}: zero points are for weights only", key, spec.text());
  OCTAVO_CHECK(spec.timing == QuantSpec::Timing::dynamic || spec.tile_rows == 0,
               "{} {}: a static scale cannot follow the rows; use tile *xN or dynamic timing", key,
               spec.text());
}

// (codes, scale) of x; the scale operand is there exactly for static specs.
Results quantized(const ValueType& x, const QuantSpec& spec, const char* key, bool first,
                  const std::optional<ValueType>& scale) {
  check_activation_spec(spec, key);
  const ValueType scale_type{DType::f32, scale_shape(spec, x.shape, first)};
  const bool is_static = spec.timing == QuantSpec::Timing::static_;
  OCTAVO_CHECK(scale.has_value() == is_static, "{} {} is {}, but its scale operand is {}", key,
               spec.text(), is_static ? "static" : "dynamic", scale ? "there" : "absent");
  check_same(scale, "scale", scale_type);
  return {{code_type(spec), x.shape}, scale_type};
}

// Weight codes with scale and zero point, operands w, w_scale, w_zp.
void check_weight(Operands in, const QuantSpec& spec) {
  const ValueType& w = *in[0];
  check_dtype(w, "w", code_type(spec));
  check_float(*in[1], "w_scale");
  const SymShape shape = scale_shape(spec, w.shape, true);
  check_shape(*in[1], "w_scale", shape);
  OCTAVO_CHECK(in[2].has_value() == spec.zero_point, "w_spec {} {} a zero point, but w_zp is {}",
               spec.text(), spec.zero_point ? "has" : "has not", in[2] ? "there" : "absent");
  check_same(in[2], "w_zp", {DType::f32, shape});
}

// The type of what comes of codes.
DType to_type(const Attrs& attrs) {
  const std::optional<DType> to = find_dtype(attrs.get_string_or("to", "f32"));
  OCTAVO_CHECK(to && is_compute(*to), "attribute 'to' is '{}', expected f32, f16 or bf16",
               attrs.get_string_or("to", "f32"));
  return *to;
}

// Checks x and x_scale of a quantized product; the output's type.
DType check_input(Operands in, const Attrs& attrs, bool first) {
  const ValueType& x = *in[0];
  const bool codes = attrs.has("x_spec");
  OCTAVO_CHECK(codes || !in[1], "x_scale is there, but there is no x_spec");
  OCTAVO_CHECK(codes || !attrs.has("to"), "attribute 'to' is for codes; x is {}", to_string(x));
  if (!codes) {
    check_compute(x, "x");
    return x.dtype;
  }
  const QuantSpec spec = spec_of(attrs, "x_spec");
  check_activation_spec(spec, "x_spec");
  check_dtype(x, "x", code_type(spec));
  OCTAVO_CHECK(in[1].has_value(), "x_scale is absent, but x has x_spec {}", spec.text());
  check_same(in[1], "x_scale", {DType::f32, scale_shape(spec, x.shape, first)});
  return to_type(attrs);
}

// Codes with their scales: an operand of quantized attention.
void check_codes(const ValueType& codes, const ValueType& scale, const char* operand,
                 const char* key, const Attrs& attrs) {
  const QuantSpec spec = spec_of(attrs, key);
  check_activation_spec(spec, key);
  check_dtype(codes, operand, code_type(spec));
  const std::string name = std::string(operand) + "_scale";
  check_same(scale, name.c_str(), {DType::f32, scale_shape(spec, codes.shape, false)});
}

}  // namespace

SymShape scale_shape(const QuantSpec& spec, const SymShape& shape, bool first) {
  OCTAVO_CHECK(!shape.empty(), "a scalar has no rows to quantize");
  const size_t split = first ? 1 : shape.size() - 1;
  const auto middle = shape.begin() + static_cast<std::ptrdiff_t>(split);
  const Dim rows = product(SymShape(shape.begin(), middle));
  const Dim cols = product(SymShape(middle, shape.end()));
  OCTAVO_CHECK(spec.tile_cols == 0 || floor_div(cols, spec.tile_cols) * Dim(spec.tile_cols) == cols,
               "spec {}: groups of {} do not divide {} columns", spec.text(), spec.tile_cols,
               cols.text());
  return {tiles(rows, spec.tile_rows), tiles(cols, spec.tile_cols)};
}

DType code_type(const QuantSpec& spec) {
  const std::optional<DType> dtype = find_dtype(spec.format);
  OCTAVO_CHECK(dtype.has_value(), "spec {}: unknown format", spec.text());
  return *dtype;
}

void apply_out_spec(const Attrs& attrs, const std::optional<ValueType>& out_scale,
                    Results& outputs) {
  if (attrs.has("out_spec")) {
    outputs = quantized(outputs.front(), spec_of(attrs, "out_spec"), "out_spec", false, out_scale);
  } else {
    OCTAVO_CHECK(!out_scale, "out_scale is there, but there is no out_spec");
  }
}

Results step_scale(const OpInfo&, Operands in, const Attrs&) {
  const ValueType &t = *in[0], &steps = *in[1];
  check_dtype(t, "t", DType::f32);
  check_rank(t, "t", 1);
  check_dtype(steps, "steps", DType::f32);
  check_rank(steps, "steps", 1);
  constant_extent(steps.shape[0], "the number of steps");
  check_same(in[2], "values", {DType::f32, {steps.shape[0], Dim(1)}});
  return {{DType::f32, {t.shape[0], Dim(1)}}};
}

Results hadamard(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType& x = *in[0];
  check_compute(x, "x");
  check_rank_at_least(x, "x", 1);
  const int64_t block = attrs.get_int("block");
  const int64_t width = constant_extent(x.shape.back(), "x's last axis");
  OCTAVO_CHECK(block > 0 && std::has_single_bit(static_cast<uint64_t>(block)) && width % block == 0,
               "attribute 'block' is {}, expected a power of two that divides {}", block, width);
  return {x};
}

Results quantize(const OpInfo&, Operands in, const Attrs& attrs) {
  check_compute(*in[0], "x");
  return quantized(*in[0], spec_of(attrs, "spec"), "spec", rows_first(attrs), in[1]);
}

Results dequantize(const OpInfo&, Operands in, const Attrs& attrs) {
  const QuantSpec spec = spec_of(attrs, "spec");
  const ValueType& codes = *in[0];
  check_same(codes, "codes", {code_type(spec), attrs.get_dims("shape")});
  const SymShape shape = scale_shape(spec, codes.shape, rows_first(attrs));
  check_float(*in[1], "scale");
  check_shape(*in[1], "scale", shape);
  OCTAVO_CHECK(in[2].has_value() == spec.zero_point,
               "spec {} {} a zero point, but zero_point is {}", spec.text(),
               spec.zero_point ? "has" : "has not", in[2] ? "there" : "absent");
  check_same(in[2], "zero_point", {DType::f32, shape});
  return {{DType::f32, codes.shape}};
}

Results quantized_linear(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType& x = *in[0];
  check_weight(in.subspan(2, 3), spec_of(attrs, "w_spec"));
  const DType to = check_input(in, attrs, false);
  Results outputs{linear_output(x, *in[2], to)};
  check_linear_epilogue(x, outputs[0], in.subspan(5, 3), attrs);
  apply_out_spec(attrs, in[8], outputs);
  return outputs;
}

Results quantized_conv2d(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType &x = *in[0], &w = *in[2];
  check_weight(in.subspan(2, 3), spec_of(attrs, "w_spec"));
  const DType to = check_input(in, attrs, true);
  const ValueType output = conv2d_output(x, w, attrs, to);
  check_vector(in[5], "bias", w.shape[0]);
  check_same(in[6], "residual", output);
  return {output};
}

Results quantized_attention(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType &q = *in[0], &k = *in[2], &v = *in[4];
  check_attention(q, k, v, in[6], attrs);
  check_codes(q, *in[1], "q", "q_spec", attrs);
  check_codes(k, *in[3], "k", "k_spec", attrs);
  check_codes(v, *in[5], "v", "v_spec", attrs);
  Results outputs{{to_type(attrs), q.shape}};
  apply_out_spec(attrs, in[7], outputs);
  return outputs;
}

}  // namespace octavo::infer
