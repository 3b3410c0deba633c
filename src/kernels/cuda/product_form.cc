#include "kernels/cuda/product_form.h"

#include <fmt/format.h>

#include "base/check.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/libraries.h"

namespace octavo::cuda {
namespace {

constexpr int64_t kMostExactK = 1 << 17;  // int32 sums of i8 products
constexpr size_t kMostCopied = 16 << 20;  // bytes
constexpr int kFirstArchWithFp8 = 89;

bool is_small(DType dtype) { return info(dtype).bits <= 8; }

// Both i8 with scales by rows: the contract between kernels is bit equality.
bool is_exact(const Call& call, const ProductInputs& in, const Scaling& x, const Scaling& w) {
  return x.is_quantized && !x.by_value && !w.by_value && dtype_of(call, in.x) == DType::i8 &&
         dtype_of(call, in.w) == DType::i8;
}

// FP8 codes by FP8 codes, on a device that cannot multiply them as such.
bool lacks_fp8(const Call& call, const ProductInputs& in) {
  return dtype_of(call, in.x) == DType::e4m3 && dtype_of(call, in.w) == DType::e4m3 &&
         device_info(call).arch < kFirstArchWithFp8;
}

Verdict no_type(const char* operand, DType dtype, Form form) {
  return Verdict::no(fmt::format("{} is {}, which is not multiplied as {}", operand, name(dtype),
                                 name(type_of(form))));
}

Verdict supports_codes(const Call& call, const ProductInputs& in, Form form, const Scaling& x,
                       const Scaling& w, int64_t k) {
  const DType type = type_of(form);
  if (!x.is_quantized || dtype_of(call, in.x) != type) {
    return no_type("x", dtype_of(call, in.x), form);
  }
  if (dtype_of(call, in.w) != type) return no_type("w", dtype_of(call, in.w), form);
  if (x.by_value || w.by_value) return Verdict::no("scales or zero points change along k");
  if (form == Form::i8 && k >= kMostExactK) {
    return Verdict::no(fmt::format("k is {}: int32 sums may overflow", k));
  }
  if (form == Form::e4m3 && lacks_fp8(call, in)) {
    return Verdict::no(
        "the architecture has no FP8 products; they came with compute capability 8.9");
  }
  return Verdict::yes();
}

}  // namespace

DType type_of(Form form) {
  switch (form) {
    case Form::bf16:
    case Form::bf16_terms:
      return DType::bf16;
    case Form::f16:
      return DType::f16;
    case Form::i8:
      return DType::i8;
    case Form::e4m3:
      return DType::e4m3;
    default:
      return DType::f32;
  }
}

Scaling scaling_of(const std::optional<QuantSpec>& spec, bool has_zero_point, int64_t rows,
                   int64_t cols) {
  Scaling s;
  if (!spec) return s;
  s.is_quantized = true;
  s.by_value = spec->tile_cols != 0 || spec->tile_rows > 1 || has_zero_point;
  s.row_stride = spec->tile_rows == 1 ? 1 : 0;
  s.tile_rows = std::max<int64_t>(1, spec->tile_rows ? spec->tile_rows : rows);
  s.tile_cols = std::max<int64_t>(1, spec->tile_cols ? spec->tile_cols : cols);
  s.across = spec->scale_shape(rows, cols)[1];
  return s;
}

ScaleGrid grid_of(const Scaling& s, const void* scale, const void* zero_point) {
  if (!s.by_value) return {};
  return {static_cast<const float*>(scale), static_cast<const float*>(zero_point), s.tile_rows,
          s.tile_cols, s.across};
}

std::optional<QuantSpec> spec_of(const Call& call, const char* attribute) {
  if (!call.attrs.has(attribute)) return std::nullopt;
  return QuantSpec::parse(call.attrs.get_string(attribute));
}

Verdict supports_form(const Call& call, const ProductInputs& in, Form form, const Scaling& x,
                      const Scaling& w, int64_t k) {
  if (form != Form::e4m3 && lacks_fp8(call, in) && !call.rules.allow_fallback) {
    return Verdict::no("the device has no FP8 units, and codes as " +
                       std::string(name(type_of(form))) +
                       " are a fallback that was not allowed (--allow-fallback)");
  }
  if (form == Form::simt) return Verdict::yes();
  if (is_coded(form)) return supports_codes(call, in, form, x, w, k);
  if (is_exact(call, in, x, w)) return Verdict::no("i8 by i8 has to be exact");
  if (form == Form::f32) return Verdict::yes();
  const DType type = type_of(form), x_type = dtype_of(call, in.x), w_type = dtype_of(call, in.w);
  if (x_type != type && !is_small(x_type)) return no_type("x", x_type, form);
  if (x.by_value) return Verdict::no("x has scales that change along k");
  const bool is_one_term = !w.by_value && (w_type == type || is_small(w_type));
  if (form == Form::bf16_terms && is_one_term) return Verdict::no("one term is all of w");
  if (form == Form::bf16_terms) return Verdict::yes();
  if (w_type != type && !is_small(w_type)) return no_type("w", w_type, form);
  if (w.by_value) return Verdict::no("w has zero points or scales that change along k");
  return Verdict::yes();
}

Verdict supports_epilogue(const Call& call, const ProductInputs& in) {
  const DType side = side_type(call, in);
  for (const size_t i : {in.gate, in.residual}) {
    if (has(call, i) && (dtype_of(call, i) != side || !is_compute_type(side))) {
      return Verdict::no(
          fmt::format("input {} is {}, not of the output's type", i, name(dtype_of(call, i))));
    }
  }
  for (const size_t i : {in.x_scale, in.w_scale, in.w_zp, in.bias}) {
    if (has(call, i) && !(is_float(dtype_of(call, i)) && dtype_of(call, i) != DType::f64)) {
      return Verdict::no(fmt::format("input {} is {}", i, name(dtype_of(call, i))));
    }
  }
  for (const size_t i : {in.x_scale, in.w_zp}) {
    if (has(call, i) && dtype_of(call, i) != DType::f32) {
      return Verdict::no(fmt::format("input {} is {}, not f32", i, name(dtype_of(call, i))));
    }
  }
  for (const size_t i : {in.x, in.w}) {
    if (dtype_of(call, i) == DType::f64) return Verdict::no("f64 operands");
  }
  const std::string activation = call.attrs.get_string_or("activation", "none");
  for (const char* known : {"none", "silu", "gelu_tanh", "gelu"}) {
    if (activation == known) return Verdict::yes();
  }
  return Verdict::no("activation " + activation);
}

Activation activation_of(const Call& call) {
  const std::string text = call.attrs.get_string_or("activation", "none");
  if (text == "silu") return Activation::silu;
  if (text == "gelu") return Activation::gelu;
  return text == "gelu_tanh" ? Activation::gelu_tanh : Activation::none;
}

DType side_type(const Call& call, const ProductInputs& in) {
  for (const size_t i : {in.gate, in.residual}) {
    if (has(call, i)) return dtype_of(call, i);
  }
  return DType::f32;
}

void reserve_copies(Layout& layout, std::initializer_list<InPlace*> operands) {
  size_t bytes = 0;
  for (const InPlace* o : operands) bytes += o->bytes;
  if (bytes > kMostCopied) return;
  for (InPlace* o : operands) {
    o->has_copy = true;
    o->copy = layout.take(o->bytes);
  }
}

bool is_aligned(const void* address) {
  return reinterpret_cast<uintptr_t>(address) % kProductAlignment == 0;
}

const void* in_place(const Call& call, const Buffers& buffers, const InPlace& o,
                     const void* address) {
  if (o.bytes == 0 || is_aligned(address)) return address;
  OCTAVO_ASSERT(o.has_copy);
  void* copy = at(buffers, o.copy);
  device_of(call).copy(copy, address, o.bytes);
  return copy;
}

Widened reserve_widened(Layout& layout, const Call& call, size_t input, bool is_scale) {
  if (!has(call, input)) return {};
  const DType dtype = dtype_of(call, input);
  if (is_scale ? dtype == DType::f32 : is_compute_type(dtype)) return {};
  const auto n = static_cast<size_t>(element_count(shape_of(call, input)));
  return {true, layout.take(n * sizeof(float))};
}

const void* widened(const Call& call, const Buffers& buffers, const Widened& w, size_t input) {
  const void* source = address(call, buffers, input);
  if (!w.used) return source;
  auto* values = static_cast<float*>(at(buffers, w.at));
  widen(call, dtype_of(call, input), source, values, element_count(shape_of(call, input)));
  return values;
}

int64_t even_tile(int64_t n, int64_t most) {
  if (n <= most) return n;
  const int64_t tiles = (n + most - 1) / most;
  return round_up((n + tiles - 1) / tiles, 128);
}

}  // namespace octavo::cuda
