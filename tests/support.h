#pragma once
// What several test programs need. Values are the same on every machine and library version.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <unistd.h>

#include "base/check.h"
#include "tensor/codec.h"
#include "tensor/tensor.h"

namespace octavo::test {

// splitmix64 (Steele, Lea, Flood 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t bits() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
  float uniform(float low, float high) {  // [low, high)
    return low + (high - low) * static_cast<float>(bits() >> 40) * 0x1p-24f;
  }
  // Sum of 12 uniforms: variance 1, within +-6. No libm, whose last bits differ.
  float normal() {
    float sum = -6;
    for (int i = 0; i < 12; ++i) sum += uniform(0, 1);
    return sum;
  }

 private:
  uint64_t state_;
};

// Normal values times `scale`, converted to `dtype`.
inline Tensor random_tensor(Shape shape, uint64_t seed, float scale = 1, DType dtype = DType::f32) {
  Tensor t = Tensor::empty(DType::f32, std::move(shape));
  Random random(seed);
  for (int64_t i = 0; i < t.elements(); ++i) t.as_mutable<float>()[i] = scale * random.normal();
  return t.to(dtype);
}

// |a - b| / |b| over all elements, in double; infinity for other shapes or a value that is not
// finite, and for b = 0 unless a is 0 too.
inline double rel_l2(const Tensor& a, const Tensor& b) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (a.shape() != b.shape()) return kInfinity;
  const std::vector<float> x = a.to_floats(), y = b.to_floats();
  double error = 0, norm = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (double{x[i]} - y[i]) * (double{x[i]} - y[i]);
    norm += double{y[i]} * y[i];
  }
  if (!std::isfinite(error) || !std::isfinite(norm)) return kInfinity;
  if (norm == 0) return error == 0 ? 0 : kInfinity;
  return std::sqrt(error / norm);
}

// Type, shape and bytes; names the first byte that differs. EXPECT_TRUE(equal_bytes(a, b)).
inline ::testing::AssertionResult equal_bytes(const Tensor& a, const Tensor& b) {
  const std::string what = fmt::format("{} {} and {} {}", name(a.dtype()), to_string(a.shape()),
                                       name(b.dtype()), to_string(b.shape()));
  if (a.dtype() != b.dtype() || a.shape() != b.shape() || a.has_data() != b.has_data()) {
    return ::testing::AssertionFailure() << what << " differ in type, shape or having data";
  }
  for (size_t i = 0; a.has_data() && i < a.bytes(); ++i) {
    const int x = a.as<uint8_t>()[i], y = b.as<uint8_t>()[i];
    if (x != y) {
      return ::testing::AssertionFailure()
             << fmt::format("{}: byte {} of {} is {:#04x} and {:#04x}", what, i, a.bytes(), x, y);
    }
  }
  return ::testing::AssertionSuccess();
}

// The error that `body` throws; fails the test when it throws none.
// EXPECT_EQ(error_of([&] { ... }).code(), ErrorCode::bad_file)
template <class F>
Error error_of(F&& body) {
  try {
    body();
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::internal, "");
}

// A new empty folder that goes away with this object.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "octavo_test_XXXXXX").string();
    OCTAVO_CHECK_CODE(io, mkdtemp(pattern.data()) != nullptr, "cannot make folder {}", pattern);
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::string file(std::string_view file_name) const { return (path_ / file_name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace octavo::test
