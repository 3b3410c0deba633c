// Two shapes of a plan. Direct: one product writes the output, bias and residual added to its f32
// sums. Tiled: sums go to workspace, tile by tile, and the epilogue finishes each tile while it is
// in the cache; operands of other types are unpacked tile by tile too, so that workspace is bounded
// by the tiles and not by the weights.
#include "kernels/cuda/linear_product.h"

#include <fmt/format.h>

#include "base/check.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/libraries.h"

namespace octavo::cuda {
namespace {

constexpr int64_t kSumBytes = 32 << 20;     // of a tile's sums: less than the L2 of sm_90
constexpr int64_t kUnpackBytes = 64 << 20;  // of a tile's unpacked x or w
constexpr int64_t kCodeMultiple = 16;       // extents of 8-bit products
constexpr int64_t kLeastIntegerRows = 32;

struct Plan {
  Form form = Form::simt;
  int64_t m = 0, n = 0, k = 0;
  Scaling x, w;
  Activation activation = Activation::none;

  bool direct = false, unpack_x = false, unpack_w = false;
  int64_t product_k = 0, ldx = 0, ldw = 0, ld_sums = 0;
  int64_t m_tile = 0, n_tile = 0;
  Product::Scales scales = Product::Scales::none;

  // Workspace.
  Widened bias, w_scale;
  InPlace x_place, w_place, bias_place, residual_place, x_scale_place, w_scale_place, out_place;
  size_t x_at = 0, w_at = 0, sums_at = 0, staged_at = 0, library_at = 0, bytes = 0;
};

int64_t padded(Form form, int64_t n) { return is_coded(form) ? round_up(n, kCodeMultiple) : n; }
int64_t product_rows(const Plan& p, int64_t rows) {
  return p.form == Form::i8 ? std::max(rows, kLeastIntegerRows) : rows;
}
int64_t element_bytes(const Plan& p) { return info(type_of(p.form)).bits / 8; }

Plan begin_plan(const Call& call, const ProductInputs& in, Form form) {
  Plan p;
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

void choose_operands(const Call& call, const ProductInputs& in, Plan& p) {
  const DType type = type_of(p.form);
  p.product_k = padded(p.form, p.k);
  const bool pad_k = p.product_k != p.k;
  p.unpack_x = dtype_of(call, in.x) != type || pad_k || p.x.by_value || product_rows(p, p.m) != p.m;
  p.unpack_w = dtype_of(call, in.w) != type || pad_k || p.w.by_value || padded(p.form, p.n) != p.n;
  p.ldx = p.unpack_x ? round_up(p.product_k, kCodeMultiple) : p.k;
  p.ldw = p.unpack_w ? round_up(p.product_k, kCodeMultiple) : p.k;
}

// The product may write the output by itself.
bool can_be_direct(const Call& call, const ProductInputs& in, Plan& p) {
  const DType out = call.outputs[0].dtype;
  if (p.activation != Activation::none || has(call, in.gate) || call.attrs.has("out_spec") ||
      terms_of(p.form) > 1) {
    return false;
  }
  if (p.form == Form::e4m3) {
    const bool rows = p.x.row_stride == 1;
    if (p.x.row_stride != p.w.row_stride || dtype_of(call, in.w_scale) != DType::f32) return false;
    if (padded(p.form, p.n) != p.n || (out == DType::f32 && has(call, in.bias))) return false;
    p.scales = rows ? Product::Scales::rows : Product::Scales::tensor;
  } else if (p.form == Form::i8 || out != type_of(p.form) || p.x.is_quantized ||
             (p.w.is_quantized && !p.w.by_value)) {
    return false;
  }
  if (has(call, in.bias) && dtype_of(call, in.bias) != out) return false;
  const int64_t bytes = element_bytes(p);
  return (!p.unpack_x || p.m * p.ldx * bytes <= kUnpackBytes) &&
         (!p.unpack_w || p.n * p.ldw * bytes <= kUnpackBytes);
}

void choose_tiles(Plan& p) {
  p.m_tile = p.m, p.n_tile = p.n;
  if (p.direct) return;
  const auto fit = [](int64_t bytes, int64_t row_bytes) {
    return std::max<int64_t>(128, bytes / std::max<int64_t>(1, row_bytes) / 128 * 128);
  };
  const int64_t bytes = element_bytes(p);
  int64_t most_n = fit(kSumBytes, std::min<int64_t>(round_up(p.m, 128), 8192) * 4);
  if (p.unpack_w) most_n = std::min(most_n, fit(kUnpackBytes, p.ldw * bytes * terms_of(p.form)));
  p.n_tile = even_tile(p.n, most_n);
  int64_t most_m = fit(kSumBytes, std::min(p.n, p.n_tile) * 4);
  if (p.unpack_x) most_m = std::min(most_m, fit(kUnpackBytes, p.ldx * bytes));
  p.m_tile = even_tile(p.m, most_m);
  p.ld_sums = round_up(padded(p.form, p.n_tile), kCodeMultiple);
}

Product product_of(const Call& call, const ProductInputs& in, const Plan& p, int64_t rows,
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
  return d;
}

// body(rows, cols) for every extent that a tile has.
template <class Body>
void for_extents(const Plan& p, const Body& body) {
  for (const int64_t rows : {p.m_tile, p.m % p.m_tile}) {
    for (const int64_t cols : {p.n_tile, p.n % p.n_tile}) {
      if (rows > 0 && cols > 0) body(rows, cols);
    }
  }
}

// Finds the plan's products; how much workspace they want, or why there is one that cannot be.
std::optional<size_t> find_products(const Call& call, const ProductInputs& in, const Plan& p,
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

void lay_out(const Call& call, const ProductInputs& in, Plan& p, size_t library_bytes) {
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

std::optional<Plan> make_plan(const Call& call, const ProductInputs& in, Form form,
                              std::string* reason) {
  Plan p = begin_plan(call, in, form);
  size_t library_bytes = 0;
  if (form != Form::simt) {
    choose_operands(call, in, p);
    p.direct = can_be_direct(call, in, p);
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

// One launch of a plan.
class Run {
 public:
  Run(const Call& call, const ProductInputs& in, const Buffers& buffers, const Plan& plan)
      : call_(call), in_(in), buffers_(buffers), p_(plan) {
    const void* w_scale = widened(call, buffers, p_.w_scale, in.w_scale);
    e_.ld = p_.n;
    if (p_.x.is_quantized && !p_.x.by_value)
      set_scale(e_.row_scale, e_.row_scale_stride, p_.x, operand(in.x_scale));
    if (p_.w.is_quantized && !p_.w.by_value)
      set_scale(e_.col_scale, e_.col_scale_stride, p_.w, w_scale);
    e_.bias = widened(call, buffers, p_.bias, in.bias);
    if (e_.bias) e_.bias_type = p_.bias.used ? DType::f32 : dtype_of(call, in.bias);
    e_.activation = p_.activation;
    e_.side = side_type(call, in);
    e_.gate = operand(in.gate);
    if (e_.gate) e_.rows_per_sample = p_.m / std::max<int64_t>(1, shape_of(call, in.gate)[0]);
    e_.rows_per_sample = std::max<int64_t>(1, e_.rows_per_sample);
    e_.residual = operand(in.residual);
    x_ = {operand(in.x), dtype_of(call, in.x), p_.m, p_.k,
          grid_of(p_.x, operand(in.x_scale), nullptr)};
    w_ = {operand(in.w), dtype_of(call, in.w), p_.n, p_.k,
          grid_of(p_.w, w_scale, operand(in.w_zp))};
  }

  void run() {
    void* staged = at(buffers_, p_.staged_at);
    begin_output(call_, buffers_, in_.out_scale, staged, e_);
    if (p_.m > 0 && p_.n > 0) {
      if (p_.form == Form::simt || !is_reachable()) {
        multiply_simt(call_, x_, w_, e_);
      } else if (p_.direct) {
        run_direct();
      } else {
        run_tiles();
      }
    }
    end_output(call_, buffers_, in_.out_scale, staged);
  }

 private:
  const void* operand(size_t input) const { return address(call_, buffers_, input); }
  static void set_scale(const float*& scale, int& stride, const Scaling& s, const void* values) {
    scale = static_cast<const float*>(values);
    stride = s.row_stride;
  }
  bool is_reachable() const {
    return cuda::is_reachable(p_.x_place, operand(in_.x)) &&
           cuda::is_reachable(p_.w_place, operand(in_.w)) &&
           cuda::is_reachable(p_.bias_place, operand(in_.bias)) &&
           cuda::is_reachable(p_.residual_place, operand(in_.residual)) &&
           cuda::is_reachable(p_.x_scale_place, operand(in_.x_scale)) &&
           cuda::is_reachable(p_.w_scale_place, operand(in_.w_scale)) &&
           cuda::is_reachable(p_.out_place, buffers_.outputs[0]);
  }
  const void* placed(const InPlace& o, size_t input) const {
    return in_place(call_, buffers_, o, operand(input));
  }

  // Rows [row, row + rows) of an operand as the products take them.
  const void* unpacked_x(int64_t row, int64_t rows) const {
    const Unpacked to{.data = at(buffers_, p_.x_at),
                      .dtype = type_of(p_.form),
                      .rows = product_rows(p_, rows),
                      .cols = p_.k,
                      .ld = p_.ldx};
    unpack(call_, x_, row, to);
    return to.data;
  }
  int64_t w_plane() const { return padded(p_.form, p_.n_tile) * p_.ldw; }
  const void* unpacked_w(int64_t row, int64_t rows) const {
    const Unpacked to{.data = at(buffers_, p_.w_at),
                      .dtype = type_of(p_.form),
                      .rows = padded(p_.form, rows),
                      .cols = p_.k,
                      .ld = p_.ldw,
                      .terms = terms_of(p_.form),
                      .plane = w_plane()};
    unpack(call_, w_, row, to);
    return to.data;
  }
  const void* row_of(const void* matrix, int64_t row, int64_t ld) const {
    return static_cast<const std::byte*>(matrix) + row * ld * element_bytes(p_);
  }

  void multiply(int64_t rows, int64_t cols, ProductOperands o) const {
    for (int term = 0; term < terms_of(p_.form); ++term) {
      const Product product = product_of(call_, in_, p_, rows, cols, term > 0);
      if (term > 0) {
        o.b = row_of(o.b, padded(p_.form, p_.n_tile), p_.ldw);
        o.c = o.d;
      }
      device_of(call_).libraries().get(product).run(stream_of(call_), o,
                                                    at(buffers_, p_.library_at));
    }
  }

  void run_direct() const {
    void* out = buffers_.outputs[0];
    const bool copied = !is_aligned(out);
    ProductOperands o;
    o.a = p_.unpack_x ? unpacked_x(0, p_.m) : placed(p_.x_place, in_.x);
    o.b = p_.unpack_w ? unpacked_w(0, p_.n) : placed(p_.w_place, in_.w);
    o.bias = placed(p_.bias_place, in_.bias);
    o.c = placed(p_.residual_place, in_.residual);
    o.a_scale = static_cast<const float*>(placed(p_.x_scale_place, in_.x_scale));
    o.b_scale = static_cast<const float*>(placed(p_.w_scale_place, in_.w_scale));
    o.d = copied ? at(buffers_, p_.out_place.copy) : out;
    multiply(p_.m, p_.n, o);
    if (copied) device_of(call_).copy(out, o.d, p_.out_place.bytes);
  }

  void run_tiles() const {
    const void* x = p_.unpack_x ? nullptr : placed(p_.x_place, in_.x);
    const void* w = p_.unpack_w ? nullptr : placed(p_.w_place, in_.w);
    for (int64_t col = 0; col < p_.n; col += p_.n_tile) {
      const int64_t cols = std::min(p_.n_tile, p_.n - col);
      ProductOperands o;
      o.b = p_.unpack_w ? unpacked_w(col, cols) : row_of(w, col, p_.ldw);
      o.d = at(buffers_, p_.sums_at);
      for (int64_t row = 0; row < p_.m; row += p_.m_tile) {
        const int64_t rows = std::min(p_.m_tile, p_.m - row);
        // One tile of all rows serves every tile of columns.
        const bool again = col == 0 || p_.m_tile < p_.m;
        if (!p_.unpack_x) {
          o.a = row_of(x, row, p_.ldx);
        } else {
          o.a = again ? unpacked_x(row, rows) : at(buffers_, p_.x_at);
        }
        multiply(rows, cols, o);
        finish(call_, e_, {row, rows, col, cols}, sums_of(p_.form), o.d, p_.ld_sums);
      }
    }
  }

  const Call& call_;
  const ProductInputs& in_;
  const Buffers& buffers_;
  const Plan& p_;
  Epilogue e_;
  Matrix x_, w_;
};

}  // namespace

Verdict supports_linear(const Call& call, const ProductInputs& in, Form form) {
  for (const Verdict& verdict :
       {supports_epilogue(call, in), supports_output(call, in.out_scale)}) {
    if (!verdict.supported) return verdict;
  }
  const Plan p = begin_plan(call, in, form);
  const Verdict verdict = supports_form(call, in, form, p.x, p.w, p.k);
  if (!verdict.supported || form == Form::simt) return verdict;
  if (p.m == 0 || p.n == 0 || p.k == 0) return Verdict::no("there is nothing to multiply");
  std::string reason;
  return make_plan(call, in, form, &reason) ? Verdict::yes() : Verdict::no(reason);
}

size_t linear_workspace(const Call& call, const ProductInputs& in, Form form) {
  std::string reason;
  const auto plan = make_plan(call, in, form, &reason);
  OCTAVO_CHECK_CODE(internal, plan.has_value(), "[{}] {}", call.name, reason);
  return plan->bytes;
}

void launch_linear(const Call& call, const ProductInputs& in, Form form, const Buffers& buffers) {
  std::string reason;
  const auto plan = make_plan(call, in, form, &reason);
  OCTAVO_CHECK_CODE(internal, plan.has_value(), "[{}] {}", call.name, reason);
  Run(call, in, buffers, *plan).run();
}

}  // namespace octavo::cuda
