// The reference kernels against PyTorch, diffusers and transformers (make_kernel_goldens.py).
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/check.h"
#include "io/safetensors.h"
#include "kernels/call.h"
#include "support.h"

namespace octavo::test {
namespace {

using Json = nlohmann::json;

Attr attr_of(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return value.get<std::string>();
  return value.get<std::vector<int64_t>>();
}

struct Goldens {
  std::shared_ptr<const SafetensorsFile> file =
      SafetensorsFile::open(OCTAVO_SOURCE_DIR "/tests/kernels/kernels.safetensors");
  Json cases = Json::parse(file->metadata().at("goldens")).at("cases");
};

const Goldens& goldens() {
  static const Goldens instance;
  return instance;
}

struct GoldenCase {
  Op op;
  Call call;
  Inputs inputs;
  std::vector<Tensor> expected;
};

GoldenCase golden_case(size_t index) {
  const Json& entry = goldens().cases[index];
  GoldenCase c;
  c.op = *find_op(entry.at("op").get<std::string>());
  Attrs attrs;
  for (const auto& [key, value] : entry.at("attrs").items()) attrs.set(key, attr_of(value));
  for (const Json& input : entry.at("inputs")) {
    c.inputs.emplace_back();
    if (!input.is_null()) c.inputs.back() = goldens().file->tensor(input.get<std::string>());
  }
  for (const Json& output : entry.at("outputs")) {
    c.expected.push_back(goldens().file->tensor(output.get<std::string>()));
  }
  c.call = make_call(c.op, attrs, c.inputs, fmt::format("golden {}", index));
  return c;
}

// What one element may be away from a golden value of float64.
double tolerance(const GoldenCase& c, double expected, double largest) {
  constexpr double kHalfUlp = 0x1p-24;
  // Sums in another order, in double.
  const double order = 1e-13 * largest;
  const bool quantized = c.op == Op::quantized_linear || c.op == Op::quantized_conv2d;
  // The f32 epilogue has seven roundings at most.
  if (quantized) return 7 * kHalfUlp * largest + order;
  return kHalfUlp * std::fabs(expected) + order + 0x1p-149;
}

double largest_of(const Tensor& t) {
  double largest = 0;
  for (int64_t i = 0; i < t.elements(); ++i) {
    if (std::isfinite(t.as<double>()[i])) largest = std::max(largest, std::fabs(t.as<double>()[i]));
  }
  return largest;
}

void expect_rounded(const GoldenCase& c, const Tensor& expected, const Tensor& found) {
  ASSERT_EQ(found.dtype(), DType::f32);
  ASSERT_EQ(found.shape(), expected.shape());
  const double largest = largest_of(expected);
  for (int64_t i = 0; i < expected.elements(); ++i) {
    const double e = expected.as<double>()[i], f = double{found.as<float>()[i]};
    if (std::isnan(e) || std::isinf(e)) {
      EXPECT_TRUE(std::isnan(e) ? std::isnan(f) : e == f) << "element " << i;
    } else {
      ASSERT_LE(std::fabs(f - e), tolerance(c, e, largest)) << "element " << i;
    }
  }
}

// PyTorch's f32 exp is within an ulp of the true value, which moves an angle of t radians by t ulp;
// the angle itself is rounded once more, sin and cos once.
void expect_angles(const GoldenCase& c, const Tensor& expected, const Tensor& found) {
  ASSERT_EQ(found.shape(), expected.shape());
  for (int64_t i = 0; i < expected.elements(); ++i) {
    const double t = double{c.inputs[0]->as<float>()[i / expected.dim(1)]};
    const double allowed = t * (0x1p-23 + 0x1p-24) + 0x1p-23;
    ASSERT_NEAR(found.as<float>()[i], expected.as<float>()[i], allowed) << "element " << i;
  }
}

class Golden : public ::testing::TestWithParam<size_t> {};

TEST_P(Golden, ReferenceKernelAgrees) {
  const GoldenCase c = golden_case(GetParam());
  const std::vector<Tensor> found = run_call(c.call, plain(c.inputs), true);
  ASSERT_EQ(found.size(), c.expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    SCOPED_TRACE(fmt::format("{} output {}", name(c.op), i));
    if (c.expected[i].dtype() == DType::f64) {
      expect_rounded(c, c.expected[i], found[i]);
    } else if (c.op == Op::timestep_embedding) {
      expect_angles(c, c.expected[i], found[i]);
    } else {
      EXPECT_TRUE(equal_bytes(found[i], c.expected[i]));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, Golden, ::testing::Range(size_t{0}, goldens().cases.size()),
                         [](const auto& i) {
                           return fmt::format(
                               "{}_{}", i.param,
                               goldens().cases[i.param].at("op").template get<std::string>());
                         });

TEST(GoldenFile, HasEveryOp) {
  std::set<std::string> seen;
  for (const Json& entry : goldens().cases) seen.insert(entry.at("op").get<std::string>());
  for (const OpInfo& op : op_table()) EXPECT_TRUE(seen.count(op.name)) << op.name;
}

}  // namespace
}  // namespace octavo::test
