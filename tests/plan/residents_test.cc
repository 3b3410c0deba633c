// Constants in a device's memory: copied once, together, and kept as long as they are in use.
#include <gtest/gtest.h>

#include "plan/fake_device.h"
#include "plan/state_cache.h"
#include "support.h"

namespace octavo {
namespace {

using test::error_of;
using test::FakeDevice;

std::vector<Constant> some_constants() {
  return {{"a", test::random_tensor({3, 5}, 1)},
          {"b", test::random_tensor({1000}, 2, 1, DType::bf16)},
          {"empty", Tensor::zeros(DType::f32, {0, 4})},
          {"c", test::random_tensor({7, 9}, 3, 1, DType::e4m3)},
          {"d", Tensor::zeros(DType::i4, {3, 3})}};
}

void expect_same(Device& device, const Tensor& found, const Tensor& expected) {
  ASSERT_TRUE(found.is_on_device());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(found.address()) % 256, 0u);
  EXPECT_TRUE(test::equal_bytes(to_host(device, found), expected));
}

TEST(Residents, AreCopiedTogetherAndOnce) {
  FakeDevice device;
  StateCache cache;
  std::vector<Constant> constants = some_constants();
  constants.push_back({"a again", constants[0].tensor});
  const std::vector<Tensor> first = cache.residents(device, constants, {"g"});
  ASSERT_EQ(first.size(), constants.size());
  size_t bytes = 0;
  for (size_t i = 0; i < constants.size(); ++i) {
    expect_same(device, first[i], constants[i].tensor);
    if (i + 1 < constants.size()) bytes += constants[i].tensor.bytes();
  }
  EXPECT_EQ(first.back().address(), first[0].address());
  EXPECT_EQ(device.allocations, 1u);
  EXPECT_EQ(device.uploaded, bytes);
  constants.push_back({"e", test::random_tensor({11}, 4)});
  const std::vector<Tensor> second = cache.residents(device, constants, {"g"});
  for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(first[i].address(), second[i].address());
  expect_same(device, second.back(), constants.back().tensor);
  EXPECT_EQ(device.uploaded, bytes + 44);
}

TEST(Residents, LieInSlabsOfLimitedSize) {
  FakeDevice device;
  StateCache cache;
  const Tensor large = Tensor::zeros(DType::u8, {int64_t{300} << 20});
  std::vector<Constant> constants{{"l", large}};
  for (int i = 0; i < 3; ++i) constants.push_back({"s", Tensor::zeros(DType::u8, {100 << 20})});
  const std::vector<Tensor> found = cache.residents(device, constants, {"g"});
  EXPECT_EQ(device.allocations, 2u);  // 512 MiB: the large one and two others
  EXPECT_EQ(device.allocated, size_t{600} << 20);
}

// The memory of one goes when none in its slab is used; what is known of it goes at once.
TEST(Residents, AreForgottenWithTheirLastUse) {
  FakeDevice device;
  StateCache cache;
  std::vector<float> values(64, 1.0f);
  const Tensor reused = Tensor::view(DType::f32, {64}, values.data(), nullptr);
  std::vector<Tensor> found =
      cache.residents(device, std::vector<Constant>{{"a", reused}, some_constants()[0]}, {"g"});
  found.erase(found.begin());
  std::fill(values.begin(), values.end(), 2.0f);  // other values at the address of "a"
  const std::vector<Tensor> other =
      cache.residents(device, std::vector<Constant>{{"b", reused}}, {"g"});
  expect_same(device, other[0], reused);
  EXPECT_EQ(device.allocations, 2u);
  found.clear();
  EXPECT_EQ(device.allocated, 256u);
}

TEST(Residents, WhatIsNotFiniteIsNamed) {
  FakeDevice device;
  StateCache cache;
  std::vector<Constant> constants = some_constants();
  ResidentOptions options{"the graph", true};
  {
    const std::vector<Tensor> found = cache.residents(device, constants, options);
    EXPECT_EQ(found.size(), constants.size());
  }
  constants[3].tensor.as_mutable<uint8_t>()[42] = 0xff;  // e4m3's NaN
  EXPECT_EQ(cache.residents(device, constants, {"the graph"}).size(), constants.size());
  const Error error = error_of([&] { cache.residents(device, constants, options); });
  EXPECT_EQ(error.code(), ErrorCode::not_finite);
  for (const char* part : {"the graph", "\"c\"", "index 42 of 63"}) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
  EXPECT_EQ(device.allocated, 0u);
}

TEST(Residents, NothingIsLeftOfThoseThatFail) {
  FakeDevice device;
  StateCache cache;
  const std::vector<Constant> constants = some_constants();
  device.memory = 1000;
  const Error error = error_of([&] { cache.residents(device, constants, {"the graph"}); });
  EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  EXPECT_NE(std::string(error.what()).find("constants of the graph"), std::string::npos);
  device.memory = SIZE_MAX;
  device.broken = true;
  EXPECT_EQ(error_of([&] { cache.residents(device, constants, {"g"}); }).code(), ErrorCode::device);
  EXPECT_EQ(device.allocated, 0u);
  device.broken = false;
  const std::vector<Tensor> found = cache.residents(device, constants, {"g"});
  for (size_t i = 0; i < found.size(); ++i) expect_same(device, found[i], constants[i].tensor);
}

}  // namespace
}  // namespace octavo
