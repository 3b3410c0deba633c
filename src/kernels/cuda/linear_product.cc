#include "kernels/cuda/linear_product.h"

#include "base/check.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/linear_plan.h"

namespace octavo::cuda {
namespace {

// One launch of a plan.
class Run {
 public:
  Run(const Call& call, const ProductInputs& in, const Buffers& buffers, const LinearPlan& plan)
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
  const LinearPlan& p_;
  Epilogue e_;
  Matrix x_, w_;
};

}  // namespace

Verdict supports_linear(const Call& call, const ProductInputs& in, Form form) {
  for (const Verdict& verdict :
       {supports_epilogue(call, in), supports_output(call, in.out_scale)}) {
    if (!verdict.supported) return verdict;
  }
  const LinearPlan p = begin_plan(call, in, form);
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
