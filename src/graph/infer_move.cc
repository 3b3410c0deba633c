// Data movement and conditioning. Movement takes any type of whole bytes.
#include <algorithm>

#include "graph/infer.h"

namespace octavo::infer {
namespace {

void check_movable(const ValueType& type) {
  OCTAVO_CHECK(info(type.dtype).bits >= 8,
               "x is {}: packed codes cannot be moved element by element", to_string(type));
}

void check_extents(const SymShape& shape) {
  OCTAVO_CHECK(shape.size() <= 16, "shape {} has more than 16 axes", to_string(shape));
  for (const Dim& dim : shape) {
    OCTAVO_CHECK(!dim.is_constant() || dim.value() >= 0, "shape {} has a negative extent",
                 to_string(shape));
  }
}

}  // namespace

Results reshape(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType& x = *in[0];
  const SymShape& shape = attrs.get_dims("shape");
  check_movable(x);
  check_extents(shape);
  OCTAVO_CHECK(product(x.shape) == product(shape), "x is {} with {} elements, but {} has {}",
               to_string(x), product(x.shape).text(), to_string(shape), product(shape).text());
  return {{x.dtype, shape}};
}

Results transpose(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType& x = *in[0];
  const std::vector<int64_t>& perm = attrs.get_ints("perm");
  check_movable(x);
  std::vector<int64_t> sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  bool valid = perm.size() == x.shape.size();
  for (size_t i = 0; valid && i < sorted.size(); ++i) valid = sorted[i] == static_cast<int64_t>(i);
  OCTAVO_CHECK(valid, "perm [{}] is not an order of the {} axes of x, which is {}",
               fmt::join(perm, ", "), x.shape.size(), to_string(x));
  ValueType output{x.dtype, {}};
  for (int64_t axis : perm) output.shape.push_back(x.shape[static_cast<size_t>(axis)]);
  return {output};
}

Results concat(const OpInfo&, Operands in, const Attrs& attrs) {
  ValueType output = *in[0];
  check_movable(output);
  const size_t axis = checked_axis(attrs, output.shape.size());
  for (const std::optional<ValueType>& part : in.subspan(1)) {
    OCTAVO_CHECK(part.has_value(), "an operand is absent");
    ValueType expected = *in[0];
    check_rank(*part, "a part", expected.shape.size());
    expected.shape[axis] = part->shape[axis];
    check_same(part, "a part", expected);
    output.shape[axis] = output.shape[axis] + part->shape[axis];
  }
  return {output};
}

Results slice(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType& x = *in[0];
  check_movable(x);
  const size_t axis = checked_axis(attrs, x.shape.size());
  const Dim &begin = attrs.get_dim("begin"), &end = attrs.get_dim("end");
  // What symbols hide is checked when they are bound.
  for (const Dim& gap : {begin, end - begin, x.shape[axis] - end}) {
    OCTAVO_CHECK(!gap.is_constant() || gap.value() >= 0, "[{}, {}) is outside of axis {} of x, {}",
                 begin.text(), end.text(), axis, to_string(x));
  }
  ValueType output = x;
  output.shape[axis] = end - begin;
  return {output};
}

Results expand(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType& x = *in[0];
  const SymShape& shape = attrs.get_dims("shape");
  check_movable(x);
  check_extents(shape);
  bool valid = shape.size() >= x.shape.size();
  const size_t offset = valid ? shape.size() - x.shape.size() : 0;
  for (size_t i = 0; valid && i < x.shape.size(); ++i) {
    valid = x.shape[i] == Dim(1) || x.shape[i] == shape[offset + i];
  }
  OCTAVO_CHECK(valid, "x is {}, which does not broadcast to {}", to_string(x), to_string(shape));
  return {{x.dtype, shape}};
}

Results upsample_nearest(const OpInfo&, Operands in, const Attrs& attrs) {
  ValueType output = *in[0];
  check_compute(output, "x");
  check_rank(output, "x", 4);
  check_positive(attrs, "factor");
  const Dim factor(attrs.get_int("factor"));
  output.shape[2] = output.shape[2] * factor;
  output.shape[3] = output.shape[3] * factor;
  return {output};
}

Results embedding(const OpInfo&, Operands in, const Attrs&) {
  const ValueType &table = *in[0], &ids = *in[1];
  check_compute(table, "table");
  check_rank(table, "table", 2);
  check_dtype(ids, "ids", DType::i64);
  ValueType output{table.dtype, ids.shape};
  output.shape.push_back(table.shape[1]);
  return {output};
}

Results timestep_embedding(const OpInfo&, Operands in, const Attrs& attrs) {
  check_dtype(*in[0], "t", DType::f32);
  check_rank(*in[0], "t", 1);
  const int64_t dim = attrs.get_int("dim");
  OCTAVO_CHECK(dim > 0 && dim % 2 == 0, "attribute 'dim' is {}, expected an even number above 0",
               dim);
  check_finite_positive(attrs, "max_period");
  return {{DType::f32, {in[0]->shape[0], Dim(dim)}}};
}

Results relative_position_bias(const OpInfo&, Operands in, const Attrs& attrs) {
  const ValueType &table = *in[0], &like = *in[1];
  check_compute(table, "table");
  check_rank(table, "table", 2);
  check_rank_at_least(like, "like", 2);
  constant_extent(table.shape[0], "the number of buckets");
  check_positive(attrs, "max_distance");
  return {{table.dtype, {Dim(1), table.shape[1], like.shape[1], like.shape[1]}}};
}

Results mask_bias(const OpInfo&, Operands in, const Attrs&) {
  const ValueType& mask = *in[0];
  check_rank(mask, "mask", 2);
  const bool known =
      mask.dtype == DType::i64 || mask.dtype == DType::boolean || mask.dtype == DType::f32;
  OCTAVO_CHECK(known, "mask is {}, expected i64, bool or f32", to_string(mask));
  return {{DType::f32, {mask.shape[0], Dim(1), Dim(1), mask.shape[1]}}};
}

}  // namespace octavo::infer
