#include "tensor/finite.h"

#include <gtest/gtest.h>

#include "support.h"

namespace octavo {
namespace {

// Every code of 16 bits or fewer, as codec.h reads it.
TEST(Finite, AgreesWithTheCodecOnEveryCode) {
  for (const DTypeInfo& type : dtype_table()) {
    if (type.kind != DTypeKind::floating || type.bits > 16) continue;
    bool any = false;
    for (uint32_t code = 0; code < uint32_t{1} << type.bits; ++code) {
      const bool finite = std::isfinite(decode(type.dtype, code));
      any |= !finite;
      if (type.bits < 8) continue;
      EXPECT_EQ(first_not_finite(type.dtype, &code, 1), finite ? -1 : 0)
          << type.name << " " << code;
    }
    EXPECT_EQ(may_be_not_finite(type.dtype), any) << type.name;
  }
}

TEST(Finite, FindsTheFirstWhereverItIs) {
  constexpr int64_t kElements = 3 * 4096 + 5;
  for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::e5m2}) {
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      for (const int64_t at : {int64_t{0}, int64_t{4095}, int64_t{4096}, kElements - 1}) {
        Tensor values = test::random_tensor({kElements}, 1);
        values.as_mutable<float>()[at] = bad;
        values.as_mutable<float>()[kElements - 1] = bad;
        const Tensor tensor = values.to(dtype);
        EXPECT_EQ(first_not_finite(dtype, tensor.data(), kElements), at) << name(dtype) << bad;
        EXPECT_EQ(first_not_finite(dtype, tensor.data(), at), -1) << name(dtype) << bad;
      }
    }
  }
}

TEST(Finite, LargestNumbersAndOtherTypesAreFinite) {
  const Tensor large = Tensor::from({3.4028235e38f, -3.4028235e38f, 0.0f, 1e-45f}, {4});
  EXPECT_EQ(first_not_finite(DType::f32, large.data(), 4), -1);
  const uint8_t ones[] = {0xff, 0xff, 0xff, 0xff};
  for (const DType dtype : {DType::i8, DType::u8, DType::boolean, DType::i32, DType::e2m1}) {
    EXPECT_FALSE(may_be_not_finite(dtype));
    EXPECT_EQ(first_not_finite(dtype, ones, 1), -1);
  }
}

}  // namespace
}  // namespace octavo
