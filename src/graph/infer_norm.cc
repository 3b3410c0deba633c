// Normalisation and rotary positions.
#include "graph/infer.h"

namespace octavo::infer {
namespace {

void check_eps(const Attrs& attrs) {
  const double eps = attrs.get_double("eps");
  OCTAVO_CHECK(eps >= 0 && eps < 1, "attribute 'eps' is {}, expected 0 <= eps < 1", eps);
}

// cos and sin [S, D/2] for x[B, S, H, D].
void check_rotation(const ValueType& x, const ValueType& cos, const ValueType& sin) {
  check_rank(x, "x", 4);
  const int64_t depth = constant_extent(x.shape[3], "x's head size");
  OCTAVO_CHECK(depth % 2 == 0, "x is {}: an odd head size has no rotary pairs", to_string(x));
  check_same(cos, "cos", {DType::f32, {x.shape[1], Dim(depth / 2)}});
  check_same(sin, "sin", cos);
}

}  // namespace

Results rms_norm(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType& x = *in[0];
  check_compute(x, "x");
  check_rank_at_least(x, "x", 1);
  check_vector(in[1], "w", x.shape.back());
  check_eps(attrs);
  return {x};
}

Results layer_norm(const OpInfo& op, Operands in, const Attrs& attrs) {
  check_rank_at_least(*in[0], "x", 1);
  check_vector(in[2], "b", in[0]->shape.back());
  return rms_norm(op, in, attrs);
}

Results group_norm(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType& x = *in[0];
  check_compute(x, "x");
  check_rank_at_least(x, "x", 2);
  check_vector(in[1], "w", x.shape[1]);
  check_vector(in[2], "b", x.shape[1]);
  check_positive(attrs, "groups");
  const int64_t channels = constant_extent(x.shape[1], "the number of channels");
  OCTAVO_CHECK(channels % attrs.get_int("groups") == 0, "{} channels do not make {} equal groups",
               channels, attrs.get_int("groups"));
  check_eps(attrs);
  check_choice(attrs, "activation", {"none", "silu"});
  return {x};
}

Results norm_modulate(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType& x = *in[0];
  check_compute(x, "x");
  check_rank_at_least(x, "x", 2);
  const ValueType modulation{x.dtype, {x.shape.front(), x.shape.back()}};
  check_same(in[1], "scale", modulation);
  check_same(in[2], "shift", modulation);
  check_eps(attrs);
  Results outputs{x};
  apply_out_spec(attrs, in[3], outputs);
  return outputs;
}

Results rope(const OpInfo&, Operands in, const Attrs&) {
  check_compute(*in[0], "x");
  check_rotation(*in[0], *in[1], *in[2]);
  return {*in[0]};
}

Results rope_table(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType& ids = *in[0];
  OCTAVO_CHECK(ids.dtype == DType::f32 || ids.dtype == DType::i64, "ids is {}, expected f32 or i64",
               to_string(ids));
  check_rank(ids, "ids", 2);
  const std::vector<int64_t>& axes = attrs.get_ints("axes");
  check_shape(ids, "ids", {ids.shape[0], Dim(static_cast<int64_t>(axes.size()))});
  Dim total(0);
  for (int64_t axis : axes) {
    OCTAVO_CHECK(axis > 0 && axis % 2 == 0, "attribute 'axes' has {}, expected even sizes above 0",
                 axis);
    total = total + Dim(axis);
  }
  check_finite_positive(attrs, "theta");
  const ValueType table{DType::f32, {ids.shape[0], floor_div(total, 2)}};
  return {table, table};
}

Results qk_norm_rope(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType& x = *in[0];
  check_compute(x, "x");
  check_rotation(x, *in[2], *in[3]);
  check_vector(in[1], "w", x.shape[3]);
  check_eps(attrs);
  Results outputs{x};
  apply_out_spec(attrs, in[4], outputs);
  return outputs;
}

}  // namespace octavo::infer
