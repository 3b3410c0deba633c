#pragma once
// The problems that every kernel is tried on.
#include <functional>
#include <string>
#include <vector>

#include "kernels/call.h"

namespace octavo::test {

struct Case {
  Op op;
  Attrs attrs;
  Inputs inputs;
  std::vector<size_t> constants = {};  // inputs whose data a plan would know (weights)
  bool sparse = false;                 // more zeros than values are right here
};

struct NamedCase {
  std::string name;  // letters, digits and _: part of the test's name
  std::function<Case()> make;
};

// In a fixed order; names are unique.
const std::vector<NamedCase>& all_cases();

// One function a family, each appends its cases.
using CaseList = std::vector<NamedCase>;
void add_product_cases(CaseList& list);
void add_attention_cases(CaseList& list);
void add_norm_cases(CaseList& list);
void add_rotary_cases(CaseList& list);
void add_pointwise_cases(CaseList& list);
void add_movement_cases(CaseList& list);
void add_conditioning_cases(CaseList& list);
void add_quantization_cases(CaseList& list);
void add_quantized_product_cases(CaseList& list);
void add_quantized_attention_cases(CaseList& list);

// What values look like: normal, a few of +-6e4 among them, every third row zero, every third row
// with a NaN.
enum class Data { normal, outliers, zero_rows, nan };
const char* name(Data data);
Tensor values(Shape shape, DType dtype, uint64_t seed, Data data = Data::normal, float scale = 1);

}  // namespace octavo::test
