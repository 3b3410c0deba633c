#include "kernels/cases.h"

#include "support.h"

namespace octavo::test {

const char* name(Data data) {
  constexpr const char* kNames[] = {"normal", "outliers", "zero_rows", "nan"};
  return kNames[static_cast<size_t>(data)];
}

Tensor values(Shape shape, DType dtype, uint64_t seed, Data data, float scale) {
  Tensor t = random_tensor(std::move(shape), seed, scale);
  const int64_t n = t.elements(), row = t.shape().empty() ? 1 : t.shape().back();
  float* v = t.as_mutable<float>();
  Random random(seed ^ 0x5eed);
  if (data == Data::outliers && n > 0) {
    for (int64_t i = 0; i < n / 100 + 1; ++i) {
      v[random.below(n)] = i % 2 == 0 ? 6e4f : -6e4f;
    }
  }
  if (data == Data::zero_rows) {
    for (int64_t i = 0; i < n; ++i) v[i] = i / row % 3 == 1 ? 0.0f : v[i];
  }
  for (int64_t i = row / 2; data == Data::nan && i < n; i += 3 * row) {
    v[i] = std::numeric_limits<float>::quiet_NaN();
  }
  return t.to(dtype);
}

const std::vector<NamedCase>& all_cases() {
  static const std::vector<NamedCase> cases = [] {
    CaseList list;
    for (const auto add :
         {add_product_cases, add_attention_cases, add_norm_cases, add_rotary_cases,
          add_pointwise_cases, add_movement_cases, add_conditioning_cases, add_quantization_cases,
          add_quantized_product_cases, add_quantized_attention_cases}) {
      add(list);
    }
    return list;
  }();
  return cases;
}

}  // namespace octavo::test
