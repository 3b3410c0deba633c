#pragma once
// How a linear layer becomes products. Private to linear_product.cc.
// Two shapes of a plan. Direct: one product writes the output, bias and residual added to its f32
// sums. Tiled: sums go to workspace, tile by tile, and the epilogue finishes each tile while it is
// in the cache; operands of other types are unpacked tile by tile too, so that workspace is bounded
// by the tiles and not by the weights.
// Batch-invariant: tiles of kInvariantRows rows whatever m is, the last one filled up, so that
// every row goes through the same product by the same algorithm, without sums split along k.
#include <optional>
#include <string>

#include "kernels/cuda/libraries.h"
#include "kernels/cuda/product_form.h"

namespace octavo::cuda {

constexpr int64_t kInvariantRows = 256;

struct LinearPlan {
  Form form = Form::simt;
  int64_t m = 0, n = 0, k = 0;
  Scaling x, w;
  Activation activation = Activation::none;

  bool fixed_rows = false;  // tiles of kInvariantRows
  bool direct = false, unpack_x = false, unpack_w = false;
  int64_t product_k = 0, ldx = 0, ldw = 0, ld_sums = 0;
  int64_t m_tile = 0, n_tile = 0;
  Product::Scales scales = Product::Scales::none;

  // Workspace.
  Widened bias, w_scale;
  InPlace x_place, w_place, bias_place, residual_place, x_scale_place, w_scale_place, out_place;
  size_t x_at = 0, w_at = 0, sums_at = 0, staged_at = 0, library_at = 0, bytes = 0;
};

inline int64_t padded(Form form, int64_t n) {
  return is_coded(form) ? round_up(n, kCodeMultiple) : n;
}
inline int64_t product_rows(const LinearPlan& p, int64_t rows) {
  if (p.fixed_rows) return kInvariantRows;
  return p.form == Form::i8 ? std::max(rows, kLeastIntegerRows) : rows;
}
inline int64_t element_bytes(const LinearPlan& p) { return info(type_of(p.form)).bits / 8; }

// Extents and scalings only: enough for form simt.
LinearPlan begin_plan(const Call& call, const ProductInputs& in, Form form);
// Nothing, and why, where a product that it needs cannot be had.
std::optional<LinearPlan> make_plan(const Call& call, const ProductInputs& in, Form form,
                                    std::string* reason);
// The product of one tile. add: to what the sums hold.
Product product_of(const Call& call, const ProductInputs& in, const LinearPlan& p, int64_t rows,
                   int64_t cols, bool add);

}  // namespace octavo::cuda
