#include "tensor/two_of_four.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.h"
#include "tensor/codec.h"

namespace octavo {
namespace {

using test::error_of;

TEST(TwoOfFour, LayoutIsTheDocumentedOne) {
  const Tensor codes = Tensor::from({0, 5, 0, -7, 3, 0, 0, 0, 1, 2, 0, 0}, {1, 12}).to(DType::i8);
  const TwoOfFour sparse = pack_two_of_four(codes);
  EXPECT_THAT(sparse.kept.to_floats(), ::testing::ElementsAre(5, -7, 3, 0, 1, 2));
  EXPECT_EQ(sparse.kept.shape(), (Shape{1, 6}));
  // Places 1 and 3; 0 and 1, both of the last two alike.
  EXPECT_THAT(sparse.indices.to_floats(), ::testing::ElementsAre(0x4d, 0x04));
  EXPECT_TRUE(test::equal_bytes(expand_two_of_four(sparse, 12), codes));
}

TEST(TwoOfFour, RoundTripOfEveryFormat) {
  test::Random random(7);
  for (const DType format : {DType::i8, DType::e4m3, DType::e5m2, DType::e3m2, DType::e2m2,
                             DType::e2m1, DType::i7, DType::i5, DType::i4, DType::i3, DType::i2}) {
    Tensor x = test::random_tensor({37, 68}, 3, 2);
    for (int64_t i = 0; i < x.elements(); i += 4) {
      const auto a = static_cast<int64_t>(random.below(4)),
                 b = static_cast<int64_t>(random.below(4));
      for (int64_t j = 0; j < 4; ++j) {
        if (j != a && j != b) x.as_mutable<float>()[i + j] = 0;
      }
    }
    const Tensor codes = x.to(format);
    const TwoOfFour sparse = pack_two_of_four(codes);
    EXPECT_EQ(static_cast<int64_t>(sparse.kept.bytes()), 37 * row_bytes(format, 34));
    EXPECT_EQ(sparse.indices.bytes(), 37u * 9);
    EXPECT_TRUE(test::equal_bytes(expand_two_of_four(sparse, 68), codes)) << name(format);
  }
}

TEST(TwoOfFour, NegativeZerosAreZeros) {
  const Tensor codes = Tensor::from({-0.0f, 1, -0.0f, 2}, {1, 4}).to(DType::e4m3);
  EXPECT_THAT(expand_two_of_four(pack_two_of_four(codes), 4).to_floats(),
              ::testing::ElementsAre(0, 1, 0, 2));
}

TEST(TwoOfFour, WhatIsNotSparseIsRefused) {
  const auto message = [](const Tensor& codes) {
    const Error error = error_of([&] { pack_two_of_four(codes); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return std::string(error.what());
  };
  Tensor dense = Tensor::zeros(DType::f32, {3, 8});
  for (const int i : {13, 14, 15}) dense.as_mutable<float>()[i] = 1;
  EXPECT_NE(message(dense.to(DType::i4)).find("codes [1, 4] to [1, 7]: more than two"),
            std::string::npos);
  EXPECT_NE(message(Tensor::zeros(DType::i8, {2, 6})).find("multiple of 4"), std::string::npos);
  EXPECT_NE(message(Tensor::zeros(DType::f32, {2, 8})).find("8 bits or fewer"), std::string::npos);
}

TEST(TwoOfFour, HostileIndicesAreRefused) {
  TwoOfFour sparse = pack_two_of_four(Tensor::zeros(DType::i8, {2, 8}));
  for (const int nibble : {0x0, 0x5, 0x1, 0xf}) {  // equal or descending places
    TwoOfFour bad{sparse.kept, sparse.indices.clone()};
    bad.indices.as_mutable<uint8_t>()[1] = static_cast<uint8_t>(0x40 | nibble);
    const Error error = error_of([&] { expand_two_of_four(bad, 8); });
    EXPECT_NE(std::string(error.what()).find("indices [1, 0]"), std::string::npos) << error.what();
  }
  EXPECT_EQ(error_of([&] { expand_two_of_four(sparse, 16); }).code(), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace octavo
