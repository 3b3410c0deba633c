#pragma once
// What a kernel may give for a case: the reference's result and how far from it is right.
//
// Bits are equal where the op promises that: data movement, quantization, i8 products without
// activation, single f32 operations. Elsewhere an element may be wrong by twice what a naive f32
// evaluation is wrong by on the same operands (the worst of the case, relative to the size of the
// element's operands), plus four f32 roundings and the rounding of the output, plus what the kernel
// is allowed on top of that because it computes with narrower operands. Where attention's weights
// may be rounded, each may be off by that, and all outputs together by as much as independent
// roundings add up to.
#include <vector>

#include "kernels/cases.h"

namespace octavo::test {

using Doubles = std::vector<double>;

struct Expectation {
  std::vector<Tensor> reference;
  bool exact = false;
  Doubles y, magnitude;  // unless exact
  double naive_error = 0;
  double weights_error = 0;  // relative, of attention's weights where they may be rounded
  double weights_floor = 0;  // absolute, of outputs, by those that round to 0
};
Expectation expect(const Case& c);

// `extra`: a further relative error, of an element's magnitude.
void expect_agreement(const Expectation& e, const std::vector<Tensor>& found, double extra = 0);
// An output of zeros agrees with many wrong kernels.
void expect_trustworthy(const Case& c, const Tensor& output);

const Kernel& reference(Op op);
Call call_of(const Case& c, bool with_constants);

}  // namespace octavo::test
