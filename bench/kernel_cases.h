#pragma once
// The problems that bench_kernels times: those of the zoo's Flux transformer (a pair of 64 picture
// and 64 text tokens, 256 wide) and of its decoder.
#include <optional>
#include <string>
#include <vector>

#include "graph/op.h"
#include "tensor/tensor.h"

namespace octavo::bench {

struct Input {
  DType dtype = DType::f32;
  Shape shape;
  bool constant = false;
  float low = -1, high = 1;  // values are uniform in [low, high)
};

struct Case {
  std::string name;
  Op op;
  Attrs attrs;
  std::vector<std::optional<Input>> inputs;
};

std::vector<Case> kernel_cases();

// A step of the transformer as launches of cases, `count` times with operands of their own: an
// estimate of what the whole costs, caches and threads included.
struct StepPart {
  Op op;
  const char* name;
  int count;
};
std::vector<StepPart> step_parts(bool quantized);

}  // namespace octavo::bench
