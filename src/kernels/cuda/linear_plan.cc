#include "kernels/cuda/linear_plan.h"

#include "base/check.h"
#include "kernels/cuda/device.h"

namespace octavo::cuda {
namespace {

constexpr int64_t kSumBytes = 32 << 20;     // of a tile's sums: less than the L2 of sm_90
constexpr int64_t kUnpackBytes = 64 << 20;  // of a tile's unpacked x or w

void choose_operands(const Call& call, const ProductInputs& in, LinearPlan& p) {
  const DType type = type_of(p.form);
  p.product_k = padded(p.form, p.k);
  const bool pad_k = p.product_k != p.k;
  // Where all rows are whole tiles, x has the distance from row to row that a filled tile has.
  const bool pad_m = p.fixed_rows ? p.m % kInvariantRows != 0 || p.k % kCodeMultiple != 0
                                  : product_rows(p, p.m) != p.m;
  p.unpack_x = dtype_of(call, in.x) != type || pad_k || p.x.by_value || pad_m;
  p.unpack_w = dtype_of(call, in.w) != type || pad_k || p.w.by_value || padded(p.form, p.n) != p.n;
  p.ldx = p.unpack_x ? round_up(p.product_k, kCodeMultiple) : p.k;
  p.ldw = p.unpack_w ? round_up(p.product_k, kCodeMultiple) : p.k;
}

// The product may write the output by itself.
bool can_be_direct(const Call& call, const ProductInputs& in, const LinearPlan& p) {
  const DType out = call.outputs[0].dtype;
  if (p.fixed_rows) return false;
  if (p.activation != Activation::none || has(call, in.gate) || call.attrs.has("out_spec") ||
      terms_of(p.form) > 1) {
    return false;
  }
  if (p.form == Form::e4m3) {
    if (p.x.row_stride != p.w.row_stride || dtype_of(call, in.w_scale) != DType::f32) return false;
    if (padded(p.form, p.n) != p.n || (out == DType::f32 && has(call, in.bias))) return false;
  } else if (p.form == Form::i8 || out != type_of(p.form) || p.x.is_quantized ||
             (p.w.is_quantized && !p.w.by_value)) {
    return false;
  }
  if (has(call, in.bias) && dtype_of(call, in.bias) != out) return false;
  // Where rows are not multiples of 16 bytes, cuBLASLt 13.0 rounds before it adds the bias.
  if (has(call, in.bias) && out != DType::f32 && (p.n % 8 != 0 || p.k % 8 != 0)) return false;
  const int64_t bytes = element_bytes(p);
  return (!p.unpack_x || p.m * p.ldx * bytes <= kUnpackBytes) &&
         (!p.unpack_w || p.n * p.ldw * bytes <= kUnpackBytes);
}

void choose_tiles(LinearPlan& p) {
  p.m_tile = p.m, p.n_tile = p.n;
  if (p.direct) return;
  const auto fit = [](int64_t bytes, int64_t row_bytes) {
    return std::max<int64_t>(128, bytes / std::max<int64_t>(1, row_bytes) / 128 * 128);
  };
  const int64_t bytes = element_bytes(p);
  const int64_t rows = p.fixed_rows ? kInvariantRows : std::min<int64_t>(round_up(p.m, 128), 8192);
  int64_t most_n = fit(kSumBytes, rows * 4);
  if (p.unpack_w) most_n = std::min(most_n, fit(kUnpackBytes, p.ldw * bytes * terms_of(p.form)));
  p.n_tile = even_tile(p.n, most_n);
  p.ld_sums = round_up(padded(p.form, p.n_tile), kCodeMultiple);
  if (p.fixed_rows) {
    p.m_tile = kInvariantRows;
    return;
  }
  int64_t most_m = fit(kSumBytes, std::min(p.n, p.n_tile) * 4);
  if (p.unpack_x) most_m = std::min(most_m, fit(kUnpackBytes, p.ldx * bytes));
  p.m_tile = even_tile(p.m, most_m);
}

// body(rows, cols) for every extent that a tile has.
template <class Body>
void for_extents(const LinearPlan& p, const Body& body) {
  for (const int64_t rows : {p.m_tile, p.m % p.m_tile}) {
    for (const int64_t cols : {p.n_tile, p.n % p.n_tile}) {
      if (rows > 0 && cols > 0) body(rows, cols);
    }
  }
}

// Finds the plan's products; how much workspace they want, or why there is one that cannot be.
std::optional<size_t> find_products(const Call& call, const ProductInputs& in, const LinearPlan& p,
                                    std::string* reason) {
  std::optional<size_t> bytes = 0;
  for_extents(p, [&](int64_t rows, int64_t cols) {
    for (int term = 0; term < std::min(2, terms_of(p.form)); ++term) {
      const auto* found =
          device_of(call).libraries().find(product_of(call, in, p, rows, cols, term > 0), reason);
      if (!found) bytes.reset();
      if (bytes && found) bytes = std::max(*bytes, found->workspace_bytes());
    }
  });
  return bytes;
}

InPlace operand_in_place(const Call& call, size_t input) {
  if (!has(call, input)) return {};
  const auto bits = static_cast<size_t>(element_count(shape_of(call, input))) *
                    static_cast<size_t>(info(dtype_of(call, input)).bits);
  return {.bytes = bits / 8};
}

void lay_out(const Call& call, const ProductInputs& in, LinearPlan& p, size_t library_bytes) {
  Layout layout;
  p.bias = reserve_widened(layout, call, in.bias, false);
  p.w_scale = reserve_widened(layout, call, in.w_scale, true);
  p.staged_at = layout.take(staged_bytes(call));
  if (p.form != Form::simt) {
    const auto bytes = static_cast<size_t>(element_bytes(p));
    const auto x_elements = static_cast<size_t>(product_rows(p, p.m_tile) * p.ldx);
    const auto w_elements = static_cast<size_t>(padded(p.form, p.n_tile) * p.ldw);
    if (p.unpack_x) p.x_at = layout.take(x_elements * bytes);
    if (p.unpack_w) {
      p.w_at = layout.take(w_elements * bytes * static_cast<size_t>(terms_of(p.form)));
    }
    if (!p.direct) {
      p.sums_at = layout.take(static_cast<size_t>(product_rows(p, p.m_tile) * p.ld_sums) * 4);
    }
    if (!p.unpack_x) p.x_place = operand_in_place(call, in.x);
    if (!p.unpack_w) p.w_place = operand_in_place(call, in.w);
    if (p.direct) {
      p.bias_place = operand_in_place(call, in.bias);
      p.residual_place = operand_in_place(call, in.residual);
      p.out_place.bytes = static_cast<size_t>(p.m * p.n) *
                          static_cast<size_t>(info(call.outputs[0].dtype).bits) / 8;
      if (p.scales != Product::Scales::none) {
        p.x_scale_place = operand_in_place(call, in.x_scale);
        p.w_scale_place = operand_in_place(call, in.w_scale);
      }
    }
    reserve_copies(layout, {&p.x_place, &p.w_place, &p.bias_place, &p.residual_place,
                            &p.x_scale_place, &p.w_scale_place, &p.out_place});
    p.library_at = layout.take(library_bytes);
  }
  p.bytes = layout.bytes();
}

}  // namespace

LinearPlan begin_plan(const Call& call, const ProductInputs& in, Form form) {
  LinearPlan p;
  p.form = form;
  const Shape &x = shape_of(call, in.x), &w = shape_of(call, in.w);
  p.k = x.back();
  p.n = w[0];
  p.m = 1;
  for (size_t axis = 0; axis + 1 < x.size(); ++axis) p.m *= x[axis];
  p.x = scaling_of(spec_of(call, "x_spec"), false, p.m, p.k);
  p.w = scaling_of(spec_of(call, "w_spec"), has(call, in.w_zp), p.n, p.k);
  p.activation = activation_of(call);
  return p;
}

Product product_of(const Call& call, const ProductInputs& in, const LinearPlan& p, int64_t rows,
                   int64_t cols, bool add) {
  Product d;
  d.ab = type_of(p.form);
  d.d = p.direct ? call.outputs[0].dtype : sums_of(p.form);
  d.m = product_rows(p, rows);
  d.n = padded(p.form, cols);
  d.k = p.product_k;
  d.lda = p.ldx;
  d.ldb = p.ldw;
  d.ldd = p.direct ? p.n : p.ld_sums;
  d.add = add || (p.direct && has(call, in.residual));
  d.bias = p.direct && has(call, in.bias);
  d.scales = p.scales;
  d.unsplit = p.fixed_rows;
  return d;
}

std::optional<LinearPlan> make_plan(const Call& call, const ProductInputs& in, Form form,
                                    std::string* reason) {
  LinearPlan p = begin_plan(call, in, form);
  size_t library_bytes = 0;
  if (form != Form::simt) {
    p.fixed_rows = call.rules.batch_invariant && form != Form::i8;  // integers are exact
    choose_operands(call, in, p);
    p.direct = can_be_direct(call, in, p);
    if (p.direct && p.form == Form::e4m3) {
      p.scales = p.x.row_stride == 1 ? Product::Scales::rows : Product::Scales::tensor;
    }
    choose_tiles(p);
    auto bytes = find_products(call, in, p, reason);
    if (!bytes && p.direct) {
      p.direct = false;
      p.scales = Product::Scales::none;
      choose_tiles(p);
      bytes = find_products(call, in, p, reason);
    }
    if (!bytes) return std::nullopt;
    library_bytes = *bytes;
  }
  lay_out(call, in, p, library_bytes);
  return p;
}

}  // namespace octavo::cuda
