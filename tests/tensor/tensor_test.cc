#include "tensor/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "base/threads.h"
#include "support.h"

namespace octavo {
namespace {

using test::equal_bytes;
using test::error_of;
using test::random_tensor;

TEST(DTypes, TableAnswersByNameAndBySafetensorsName) {
  std::set<std::string_view> names;
  for (const DTypeInfo& row : dtype_table()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ(find_dtype(row.name), row.dtype);
    EXPECT_EQ(&info(row.dtype), &row);
    // Packed formats pad rows, which safetensors' own F4 and F6 types do not.
    EXPECT_EQ(row.safetensors == nullptr, row.bits < 8) << row.name;
    if (row.safetensors) {
      EXPECT_EQ(find_safetensors_dtype(row.safetensors), row.dtype);
    }
  }
  EXPECT_EQ(names.size(), 28u);
  EXPECT_EQ(find_dtype("e4m4"), std::nullopt);
  EXPECT_EQ(find_safetensors_dtype("e4m3"), std::nullopt);
}

TEST(DTypes, RowsOfPackedTypesArePaddedToBytes) {
  EXPECT_EQ(row_bytes(DType::i4, 3), 2);
  EXPECT_EQ(row_bytes(DType::e2m2, 8), 5);
  EXPECT_EQ(row_bytes(DType::e3m2, 1), 1);
  EXPECT_EQ(Tensor::empty(DType::i4, {5, 3}).bytes(), 10u);
  EXPECT_EQ(Tensor::empty(DType::e3m2, {2, 2, 3}).bytes(), 12u);
  EXPECT_EQ(Tensor::empty(DType::i4, {}).bytes(), 1u);
}

TEST(Shapes, CountAndPrint) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({2, 64, 32}), 4096);
  EXPECT_EQ(element_count({int64_t{1} << 62, 0}), 0);
  EXPECT_EQ(to_string(Shape{2, 64, 32}), "[2, 64, 32]");
  EXPECT_EQ(to_string(Shape{}), "[]");
}

TEST(Shapes, ImpossibleOnesAreRefused) {
  const int64_t big = int64_t{1} << 62;
  for (const Shape& shape : {Shape{-1}, Shape{3, -2}, Shape{big, 4}, Shape{big},
                             Shape{1 << 30, 1 << 30}, Shape{big, 4, 0}}) {
    const Error error = error_of([&] { Tensor::empty(DType::f32, shape); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(error.what()).find(to_string(shape)), std::string::npos) << error.what();
  }
}

TEST(Tensors, AreAlignedAndKnowTheirData) {
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{3, 0}, Shape{5}, Shape{2, 3}}) {
    const Tensor t = Tensor::empty(DType::e4m3, shape);
    EXPECT_TRUE(t.has_data());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(t.data()) % 64, 0u);
  }
  const Tensor typed = Tensor::typed(DType::bf16, {3072, 12288});
  EXPECT_FALSE(typed.has_data());
  EXPECT_EQ(typed.bytes(), 2u * 3072 * 12288);
  EXPECT_EQ(typed.dim(-1), 12288);
  EXPECT_EQ(error_of([&] { typed.dim(2); }).code(), ErrorCode::invalid_argument);
  EXPECT_FALSE(typed.to(DType::f32).has_data());
  EXPECT_THAT(Tensor::zeros(DType::f32, {4}).to_floats(), ::testing::Each(0.0f));
  EXPECT_THAT(Tensor::scalar(2.5f).to_floats(), ::testing::ElementsAre(2.5f));
  EXPECT_EQ(error_of([] { Tensor::from({1, 2, 3}, {2, 2}); }).code(), ErrorCode::invalid_argument);
}

TEST(Tensors, CopiesAndViewsShareStorageClonesDoNot) {
  Tensor a = Tensor::from({1, 2, 3, 4, 5, 6}, {3, 2});
  Tensor b = a;
  b.as_mutable<float>()[2] = 30;
  EXPECT_EQ(a.as<float>()[2], 30);
  const Tensor tail = a.rows(1, 3);
  EXPECT_EQ(tail.shape(), (Shape{2, 2}));
  EXPECT_THAT(tail.to_floats(), ::testing::ElementsAre(30, 4, 5, 6));
  EXPECT_EQ(a.reshaped({6}).data(), a.data());
  const Tensor c = a.clone();
  b.as_mutable<float>()[2] = 3;
  EXPECT_EQ(c.as<float>()[2], 30);
  EXPECT_FALSE(same_bytes(a, c));
  EXPECT_EQ(a.to(DType::f32).data(), a.data());
}

TEST(Tensors, KeepTheOwnerOfAViewAliveAndReadOnly) {
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2});
  std::weak_ptr<std::vector<float>> watch = owner;
  Tensor part = Tensor::view(DType::f32, {2}, owner->data(), owner).rows(1, 2);
  owner.reset();
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(part.as<float>()[0], 2);
  EXPECT_EQ(error_of([&] { part.mutable_data(); }).code(), ErrorCode::internal);
  part = Tensor();
  EXPECT_TRUE(watch.expired());
}

TEST(Tensors, PackedRowsAreCutAtBytesOnly) {
  const Tensor t = random_tensor({4, 6}, 1).to(DType::i4);
  EXPECT_TRUE(equal_bytes(t.rows(1, 3).to(DType::f32), t.to(DType::f32).rows(1, 3)));
  EXPECT_EQ(t.reshaped({2, 12}).to_floats(), t.to_floats()) << "even rows have no padding";
  const Tensor odd = random_tensor({4, 3}, 1).to(DType::i4);
  EXPECT_EQ(odd.reshaped({2, 2, 3}).to_floats(), odd.to_floats());
  EXPECT_EQ(error_of([&] { odd.reshaped({12}); }).code(), ErrorCode::invalid_argument);
  const Tensor line = random_tensor({7}, 1).to(DType::i4);
  EXPECT_EQ(line.rows(2, 7).to_floats(), line.to(DType::f32).rows(2, 7).to_floats());
  EXPECT_EQ(error_of([&] { line.rows(1, 7); }).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(error_of([&] { line.rows(0, 3); }).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(error_of([&] { line.rows(4, 8); }).code(), ErrorCode::invalid_argument);
}

// What is exact in the narrower type survives every pair of types, in every layout.
TEST(Convert, AllPairsOfTypes) {
  const Tensor small = Tensor::from({0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0}, {3, 5});
  for (const DTypeInfo& from : dtype_table()) {
    if (from.dtype == DType::e8m0) continue;  // has no 0
    for (const DTypeInfo& to : dtype_table()) {
      if (to.dtype == DType::e8m0) continue;
      EXPECT_EQ(small.to(from.dtype).to(to.dtype).to_floats(), small.to_floats())
          << from.name << " to " << to.name;
    }
  }
}

TEST(Convert, WideTypesDoNotPassThroughFloat) {
  Tensor ids = Tensor::empty(DType::i64, {4});
  const int64_t values[] = {16777217, -2147483647, int64_t{1} << 40, -(int64_t{1} << 40)};
  std::copy(values, values + 4, ids.as_mutable<int64_t>());
  const Tensor i32 = ids.to(DType::i32);
  EXPECT_THAT(std::vector<int32_t>(i32.as<int32_t>(), i32.as<int32_t>() + 4),
              ::testing::ElementsAre(16777217, -2147483647, 2147483647, -2147483647 - 1));
  EXPECT_EQ(ids.to(DType::f64).as<double>()[0], 16777217.0);
  EXPECT_TRUE(equal_bytes(ids.to(DType::f64).to(DType::i64), ids));
}

TEST(Convert, DoublesAreRoundedOnce) {
  // Each lies just beyond a tie of the target; f32 would round it onto the tie, and that to even.
  struct Case {
    DType to;
    double value;
    float expected;
  };
  const Case cases[] = {
      {DType::bf16, 1 + 0x1p-8 + 0x1p-40, 1 + 0x1p-7f},
      {DType::bf16, 1 + 0x1p-8, 1},
      {DType::bf16, 1 + 0x3p-8 - 0x1p-40, 1 + 0x1p-7f},
      {DType::f16, -1 - 0x1p-11 - 0x1p-45, -1 - 0x1p-10f},
      {DType::e4m3, 17 + 0x1p-30, 18},
      {DType::e4m3, 17, 16},
      {DType::i8, 2.5 + 0x1p-40, 3},
      {DType::i8, 2.5, 2},
      {DType::boolean, 1e-300, 1},
      {DType::f16, 1e300, std::numeric_limits<float>::infinity()},
      {DType::e4m3, -1e300, -448},
      {DType::f16, 0x1p-25 + 0x1p-60, 0x1p-24f},
  };
  for (const Case& c : cases) {
    Tensor t = Tensor::empty(DType::f64, {1});
    t.as_mutable<double>()[0] = c.value;
    EXPECT_EQ(t.to(c.to).to_floats()[0], c.expected) << name(c.to) << fmt::format(" {:a}", c.value);
  }
}

TEST(Convert, NaNThatTheTypeCannotHoldIsAnError) {
  const Tensor t = Tensor::from({0, std::nanf("")}, {2});
  for (const DType d : {DType::i8, DType::i4, DType::e2m1, DType::i64, DType::boolean}) {
    EXPECT_EQ(error_of([&] { t.to(d); }).code(), ErrorCode::not_finite) << name(d);
  }
  EXPECT_EQ(error_of([&] { t.to(DType::f64).to(DType::i32); }).code(), ErrorCode::not_finite);
  EXPECT_TRUE(std::isnan(t.to(DType::e4m3).to_floats()[1]));
}

TEST(Convert, HasTheSameBytesOnAnyNumberOfThreads) {
  const Tensor t = random_tensor({300, 777}, 3, 5);
  for (const DType d : {DType::bf16, DType::e4m3, DType::e3m2}) {
    set_thread_count(1);
    const Tensor one = t.to(d);
    set_thread_count(3);
    EXPECT_TRUE(equal_bytes(t.to(d), one)) << name(d);
    set_thread_count(0);
    EXPECT_LT(test::rel_l2(one, t), 0.1);
    EXPECT_GT(test::rel_l2(one, t), 1e-4);
  }
}

TEST(Support, Measures) {
  const Tensor a = Tensor::from({3, 4}, {2}), b = Tensor::from({3, 4.5f}, {2});
  EXPECT_DOUBLE_EQ(test::rel_l2(b, a), 0.1);
  EXPECT_EQ(test::rel_l2(a, Tensor::from({3, 4}, {2, 1})), std::numeric_limits<double>::infinity());
  EXPECT_FALSE(equal_bytes(a, b));
  EXPECT_FALSE(equal_bytes(a, a.reshaped({2, 1})));
  EXPECT_TRUE(equal_bytes(a, a.clone()));
  // The generator is part of many expectations elsewhere. First value of splitmix64 with seed 0.
  EXPECT_EQ(test::Random(0).bits(), 0xe220a8397b1dcdafu);
}

}  // namespace
}  // namespace octavo
