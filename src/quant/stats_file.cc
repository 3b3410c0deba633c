// The stats file: safetensors with, for each layer,
//   LAYER:steps           I64 [S]      denoising steps in which it was seen, ascending; -1: outside
//   LAYER:channel_absmax  F32 [S, C]
//   LAYER:histogram       I64 [S, Histogram::kBins]
//   LAYER:counts          I64 [S, 3]   non-finite values, values, samples
// and JSON under the metadata key "octavo.stats". The rest follows from these.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/check.h"
#include "base/text.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "quant/histogram.h"
#include "quant/stats.h"

namespace octavo {
namespace {

constexpr const char* kMetadataKey = "octavo.stats";
constexpr int kFormatVersion = 1;
constexpr int64_t kCounts = 3;
constexpr const char* kParts[] = {":channel_absmax", ":counts", ":histogram", ":steps"};

Tensor from_ints(const std::vector<int64_t>& values, Shape shape) {
  Tensor tensor = Tensor::empty(DType::i64, std::move(shape));
  std::copy(values.begin(), values.end(), tensor.as_mutable<int64_t>());
  return tensor;
}

void add_layer(std::map<std::string, Tensor>& tensors, const std::string& layer,
               const std::map<int, StepStats>& steps) {
  const int64_t n = static_cast<int64_t>(steps.size());
  const size_t channels = steps.empty() ? 0 : steps.begin()->second.channel_absmax.size();
  std::vector<int64_t> numbers, histogram, counts;
  std::vector<float> absmax;
  for (const auto& [step, stats] : steps) {
    OCTAVO_CHECK(stats.channel_absmax.size() == channels,
                 "layer {} was fed {} channels in one step and {} in another", layer, channels,
                 stats.channel_absmax.size());
    numbers.push_back(step);
    absmax.insert(absmax.end(), stats.channel_absmax.begin(), stats.channel_absmax.end());
    histogram.insert(histogram.end(), stats.histogram.begin(), stats.histogram.end());
    for (const uint64_t v : {stats.non_finite, stats.count, stats.samples}) {
      counts.push_back(static_cast<int64_t>(v));
    }
  }
  tensors[layer + ":steps"] = from_ints(numbers, {n});
  tensors[layer + ":channel_absmax"] = Tensor::from(absmax, {n, static_cast<int64_t>(channels)});
  tensors[layer + ":histogram"] = from_ints(histogram, {n, Histogram::kBins});
  tensors[layer + ":counts"] = from_ints(counts, {n, kCounts});
}

// Reads and checks one layer's tensors.
class LayerReader {
 public:
  LayerReader(const SafetensorsFile& file, const std::string& layer) : file_(file), layer_(layer) {}

  std::map<int, StepStats> read() const {
    const Tensor numbers = get(":steps", DType::i64, {-1});
    const int64_t n = numbers.dim(0);
    const Tensor absmax = get(":channel_absmax", DType::f32, {n, -1});
    const Tensor histogram = get(":histogram", DType::i64, {n, Histogram::kBins});
    const Tensor counts = get(":counts", DType::i64, {n, kCounts});
    std::map<int, StepStats> steps;
    int64_t previous = -2;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t step = numbers.as<int64_t>()[i];
      check(step > previous && step <= INT32_MAX, ":steps", "steps from -1 up, each once", step);
      previous = step;
      steps[static_cast<int>(step)] =
          read_step(absmax.rows(i, i + 1), histogram.rows(i, i + 1), counts.rows(i, i + 1));
    }
    return steps;
  }

 private:
  StepStats read_step(const Tensor& absmax, const Tensor& histogram, const Tensor& counts) const {
    StepStats stats;
    stats.channel_absmax = absmax.to_floats();
    for (const float v : stats.channel_absmax) {
      check(std::isfinite(v) && v >= 0, ":channel_absmax", "finite values from 0 up", v);
      stats.absmax = std::max(stats.absmax, v);
    }
    stats.histogram = naturals(histogram, ":histogram");
    const std::vector<uint64_t> three = naturals(counts, ":counts");
    stats.non_finite = three[0];
    stats.count = three[1];
    stats.samples = three[2];
    const uint64_t seen =
        std::accumulate(stats.histogram.begin(), stats.histogram.end(), stats.non_finite);
    check(seen == stats.count, ":counts",
          fmt::format("as many values as histogram and non-finite ones together, {}", seen),
          stats.count);
    return stats;
  }

  // No sum of them overflows.
  std::vector<uint64_t> naturals(const Tensor& tensor, const char* part) const {
    constexpr int64_t kMax = int64_t{1} << 52;
    std::vector<uint64_t> values;
    for (int64_t i = 0; i < tensor.elements(); ++i) {
      const int64_t v = tensor.as<int64_t>()[i];
      check(v >= 0 && v <= kMax, part, "counts from 0 to 2^52", v);
      values.push_back(static_cast<uint64_t>(v));
    }
    return values;
  }

  // -1 in `shape`: any extent.
  Tensor get(const char* part, DType dtype, Shape shape) const {
    const SafetensorsEntry& entry = file_.entry(layer_ + part);
    for (size_t i = 0; i < shape.size() && i < entry.shape.size(); ++i) {
      if (shape[i] < 0) shape[i] = entry.shape[i];
    }
    OCTAVO_CHECK_FILE(entry.dtype == dtype && entry.shape == shape,
                      "{}: tensor \"{}{}\" is {} {}; expected {} {}", file_.path().string(),
                      printable(layer_), part, name(entry.dtype), to_string(entry.shape),
                      name(dtype), to_string(shape));
    return file_.tensor(layer_ + part);
  }

  template <class T>
  void check(bool good, const char* part, std::string_view expected, T found) const {
    OCTAVO_CHECK_FILE(good, "{}: tensor \"{}{}\" holds {}; expected {}", file_.path().string(),
                      printable(layer_), part, found, expected);
  }

  const SafetensorsFile& file_;
  const std::string& layer_;
};

void read_metadata(const SafetensorsFile& file, Stats& stats) {
  const std::string path = file.path().string();
  const auto found = file.metadata().find(kMetadataKey);
  OCTAVO_CHECK_FILE(found != file.metadata().end(),
                    "{}: no metadata key \"{}\": this is a safetensors file, but not one that "
                    "`octavo calibrate` wrote",
                    path, kMetadataKey);
  const Config config = Config::parse(found->second, path + " (metadata)");
  config.get_int("format_version", 1, kFormatVersion);
  stats.model_hash = config.get_string("model_hash");
  stats.schedule = config.get_string("schedule");
  if (!config.has("prompts")) config.fail("prompts", "an array of strings");
  const Json& prompts = config.json().at("prompts");
  if (!prompts.is_array()) config.fail("prompts", "an array of strings");
  for (const Json& prompt : prompts) {
    if (!prompt.is_string()) config.fail("prompts", "an array of strings");
    stats.prompts.push_back(prompt.get<std::string>());
  }
  const bool ascending =
      std::is_sorted(stats.prompts.begin(), stats.prompts.end()) &&
      std::adjacent_find(stats.prompts.begin(), stats.prompts.end()) == stats.prompts.end();
  if (!ascending) config.fail("prompts", "sorted prompts, each once");
}

}  // namespace

void Stats::save(const std::filesystem::path& path) const {
  Json json = {{"format_version", kFormatVersion},
               {"model_hash", model_hash},
               {"schedule", schedule},
               {"prompts", prompts}};
  std::map<std::string, Tensor> tensors;
  for (const auto& [layer, steps] : layers) add_layer(tensors, layer, steps);
  save_safetensors(path, tensors, {{kMetadataKey, json.dump()}});
}

Stats Stats::load(const std::filesystem::path& path) {
  const auto file = SafetensorsFile::open(path);
  Stats stats;
  read_metadata(*file, stats);
  for (const auto& [name, entry] : file->entries()) {
    const size_t colon = name.rfind(':');
    const std::string part = colon == name.npos ? "" : name.substr(colon);
    OCTAVO_CHECK_FILE(std::find(std::begin(kParts), std::end(kParts), part) != std::end(kParts),
                      "{}: unexpected tensor \"{}\" in a stats file", path.string(),
                      printable(name));
    const std::string layer = name.substr(0, colon);
    if (stats.layers.count(layer) == 0) stats.layers[layer] = LayerReader(*file, layer).read();
  }
  return stats;
}

}  // namespace octavo
