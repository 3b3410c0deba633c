#include <algorithm>
#include <limits>
#include <mutex>
#include <set>

#include "base/check.h"
#include "base/glob.h"
#include "base/interrupt.h"
#include "base/text.h"
#include "base/threads.h"
#include "models/builder.h"
#include "models/models.h"
#include "tensor/finite.h"

namespace octavo {
namespace {

constexpr size_t kNamesShown = 4;

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) {
    text += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", printable(names[i]));
  }
  return names.size() > kNamesShown ? text + ", ..." : text;
}

// Every tensor that some method reads, with its shape.
std::map<std::string, Shape> expected_tensors(const Family& family, const Config& config) {
  std::map<std::string, Shape> expected;
  for (const char* method : family.methods) {
    const Graph graph = family.build(config, nullptr, method);
    for (const Value& value : graph.values()) {
      if (value.constant) expected.emplace(value.name, value.constant->shape());
    }
  }
  return expected;
}

bool matches_any(const std::vector<const char*>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const char* pattern) { return glob_match(pattern, name); });
}

// A quantized layer may have a bias where the checkpoint's has none.
bool is_added_bias(const WeightStore& weights, const std::map<std::string, Shape>& expected,
                   const std::string& name) {
  constexpr std::string_view kBias = ".bias";
  if (!name.ends_with(kBias)) return false;
  const std::string layer = name.substr(0, name.size() - kBias.size());
  if (!expected.count(layer + ".weight")) return false;
  const std::optional<QuantizedLayer> quantized = weights.quantized(layer);
  return quantized && quantized->bias.has_data();
}

constexpr int64_t kChunk = 1 << 16;

// The lowest bad index of a tensor, on all threads.
int64_t find_bad(const Tensor& tensor) {
  std::mutex mutex;
  int64_t lowest = -1;
  if (!may_be_not_finite(tensor.dtype())) return lowest;
  const int64_t width = info(tensor.dtype()).bits / 8;
  parallel_for(tensor.elements(), kChunk, [&](int64_t begin, int64_t end) {
    const int64_t bad =
        first_not_finite(tensor.dtype(), tensor.as<char>() + begin * width, end - begin);
    if (bad < 0) return;
    const std::lock_guard lock(mutex);
    if (lowest < 0 || begin + bad < lowest) lowest = begin + bad;
  });
  return lowest;
}

double largest(const Tensor& scales) {
  const std::vector<float> values = scales.to_floats();
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

// Whether every value is a number, as far as the codes and the largest scales tell without
// dequantizing. No zero point is further from 0 than the largest code.
bool is_surely_finite(const QuantizedTensor& weight) {
  if (find_bad(weight.codes) >= 0 || find_bad(weight.scale) >= 0) return false;
  double most = 2 * info(weight.codes.dtype()).max * largest(weight.scale);
  if (weight.tensor_scale.has_data()) most *= largest(weight.tensor_scale);
  return most <= std::numeric_limits<float>::max();
}

bool is_surely_finite(const WeightStore& weights, const std::string& name) {
  constexpr std::string_view kWeight = ".weight";
  if (!name.ends_with(kWeight)) return false;
  const auto layer = weights.quantized(name.substr(0, name.size() - kWeight.size()));
  return layer && is_surely_finite(layer->weight);
}

}  // namespace

void check_weights(const Family& family, const Config& config, const WeightStore& weights) {
  const std::map<std::string, Shape> expected = expected_tensors(family, config);
  std::vector<std::string> missing, unexpected;
  for (const auto& [name, shape] : expected) {
    if (!weights.contains(name)) missing.push_back(name);
  }
  std::string where = config.where();
  for (const std::string& name : weights.names()) {
    where = weights.where(name);
    const bool known = expected.count(name) || matches_any(family.ignorable, name) ||
                       is_added_bias(weights, expected, name);
    if (!known) unexpected.push_back(name);
  }
  OCTAVO_CHECK_FILE(missing.empty() && unexpected.empty(),
                    "{}: the tensors do not fit {}: {} of {} missing{}{}, {} unexpected{}{}; is {} "
                    "the config of this checkpoint?",
                    where, family.class_name, missing.size(), expected.size(),
                    missing.empty() ? "" : ": ", listed(missing), unexpected.size(),
                    unexpected.empty() ? "" : ": ", listed(unexpected), config.where());
  for (const auto& [name, shape] : expected) check_parameter(weights, name, shape);
}

void check_finite(const WeightStore& weights, const std::string& name) {
  if (!may_be_not_finite(weights.type(name).dtype)) return;
  if (is_surely_finite(weights, name)) return weights.release(name);
  const Tensor tensor = weights.tensor(name);
  const int64_t bad = find_bad(tensor);
  weights.release(name);
  if (bad < 0) return;
  const Tensor value = Tensor::view(
      tensor.dtype(), {1}, tensor.as<char>() + bad * info(tensor.dtype()).bits / 8, nullptr);
  OCTAVO_FAIL(not_finite, "{}: tensor \"{}\" has {} at index {} of {}; expected finite numbers",
              weights.where(name), printable(name), value.to_floats()[0], bad, tensor.elements());
}

void check_finite(const WeightStore& weights) {
  for (const std::string& name : weights.names()) {
    check_interrupt();
    check_finite(weights, name);
  }
}

}  // namespace octavo
