#include "kernels/cpu/fast/conv_finish.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/fast/conv_finish.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/fast/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {

template <class Acc, class T>
void finish_typed(const ConvRow& row) {
  const Acc* acc = static_cast<const Acc*>(row.acc);
  const T* residual = static_cast<const T*>(row.residual);
  T* y = static_cast<T*>(row.y);
  for_vectors(row.n, [&](auto d, int64_t i) OCTAVO_INLINE_LAMBDA {
    auto v = load(d, acc + i);
    if (row.scaled) v = hn::Mul(v, hn::Set(d, row.scale));
    if (row.biased) v = hn::Add(v, hn::Set(d, row.bias));
    if (residual) v = hn::Add(load(d, residual + i), v);
    store(d, v, y + i);
  });
}

void finish(const ConvRow& row) {
  const bool wide = row.type == DType::f32;
  if (row.acc_type == DType::i32) {
    return wide ? finish_typed<int32_t, float>(row) : finish_typed<int32_t, BFloat16>(row);
  }
  return wide ? finish_typed<float, float>(row) : finish_typed<float, BFloat16>(row);
}

}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo::cpu {

HWY_EXPORT(finish);

void finish_conv_row(const ConvRow& row) { HWY_DYNAMIC_DISPATCH(finish)(row); }

}  // namespace octavo::cpu
#endif
