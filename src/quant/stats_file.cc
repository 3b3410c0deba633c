// The stats file: safetensors with, for each input,
//   INPUT:steps          I64 [S]        denoising steps where it was seen, ascending; -1: outside
//   INPUT:channel_range  F32 [S, 2, C]  least and largest; +inf and -inf: there were none
//   INPUT:channel_sum    I64 [S, C, 2]  units of kChannelSum, low word first
//   INPUT:histogram      I64 [S, Histogram::kBins]
//   INPUT:sample_absmax  F32 [S]        the least of the samples' largest magnitudes
//   INPUT:sample_absmax_sum  I64 [S, 2]  their sum, units of kChannelSum, low word first
//   INPUT:counts         I64 [S, 4]     non-finite values, values, samples, rows kept
// where rows were kept
//   INPUT:rows           F32 [N, C]     step by step
//   INPUT:row_hashes     I64 [N]        ascending within a step, as unsigned numbers
// and where there is a second moment
//   INPUT:moment         I64 [2, C (C + 1) / 2]   units of kMomentSum; low words, then high ones
//   INPUT:moment_sum     I64 [2, C]
//   INPUT:moment_rows    I64 [1]
// and JSON under the metadata key "octavo.stats", which says what input each layer has. The rest
// follows from these.
#include <algorithm>
#include <cmath>
#include <cstring>
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
constexpr int kFormatVersion = 2;
constexpr int64_t kCounts = 4;
constexpr const char* kParts[] = {
    ":channel_range",     ":channel_sum", ":counts",     ":histogram", ":moment",
    ":moment_rows",       ":moment_sum",  ":row_hashes", ":rows",      ":sample_absmax",
    ":sample_absmax_sum", ":steps"};

Tensor from_ints(const std::vector<int64_t>& values, Shape shape) {
  Tensor tensor = Tensor::empty(DType::i64, std::move(shape));
  std::copy(values.begin(), values.end(), tensor.as_mutable<int64_t>());
  return tensor;
}

// One input's statistics as tensors, each made when it is written.
class InputParts {
 public:
  InputParts(const std::string& input, const LayerStats& stats)
      : stats_(stats),
        steps_(static_cast<int64_t>(stats.steps.size())),
        channels_(stats.channels()) {
    for (const auto& [step, one] : stats.steps) {
      OCTAVO_CHECK(static_cast<int64_t>(one.channel_max.size()) == channels_,
                   "input {} has {} channels in one step and {} in another", input, channels_,
                   one.channel_max.size());
      rows_ += one.rows.size();
    }
  }

  std::vector<TensorDecl> declarations(const std::string& input) const {
    const int64_t s = steps_, c = channels_;
    std::vector<TensorDecl> decls{{input + ":steps", DType::i64, {s}},
                                  {input + ":channel_range", DType::f32, {s, 2, c}},
                                  {input + ":channel_sum", DType::i64, {s, c, 2}},
                                  {input + ":histogram", DType::i64, {s, Histogram::kBins}},
                                  {input + ":sample_absmax", DType::f32, {s}},
                                  {input + ":sample_absmax_sum", DType::i64, {s, 2}},
                                  {input + ":counts", DType::i64, {s, kCounts}}};
    if (rows_ > 0) {
      decls.push_back({input + ":rows", DType::f32, {rows_, c}});
      decls.push_back({input + ":row_hashes", DType::i64, {rows_}});
    }
    if (!stats_.moment.empty()) {
      decls.push_back({input + ":moment", DType::i64, {2, SecondMoment::triangle(c)}});
      decls.push_back({input + ":moment_sum", DType::i64, {2, c}});
      decls.push_back({input + ":moment_rows", DType::i64, {1}});
    }
    return decls;
  }

  void write(SafetensorsWriter& writer, const std::string& name, std::string_view part) const {
    if (part == ":moment") return writer.write(name, stats_.moment.products());
    if (part == ":moment_sum") return writer.write(name, stats_.moment.sum());
    if (part == ":moment_rows") {
      return writer.write(name, from_ints({static_cast<int64_t>(stats_.moment.rows())}, {1}));
    }
    for (const auto& [step, one] : stats_.steps) write_step(writer, name, part, step, one);
  }

 private:
  static void write_step(SafetensorsWriter& writer, const std::string& name, std::string_view part,
                         int step, const StepStats& one) {
    const auto values = [&](const auto& v) {
      writer.write(name, v.data(), v.size() * sizeof(v[0]));
    };
    if (part == ":steps") values(std::vector<int64_t>{step});
    if (part == ":channel_range") {
      values(one.channel_min);
      values(one.channel_max);
    }
    if (part == ":channel_sum") values(one.channel_sum);
    if (part == ":histogram") values(one.histogram);
    if (part == ":sample_absmax") values(std::vector<float>{one.sample_absmax_min});
    if (part == ":sample_absmax_sum") values(std::vector<Int128>{one.sample_absmax_sum});
    if (part == ":counts") {
      values(std::vector<uint64_t>{one.non_finite, one.count, one.samples,
                                   static_cast<uint64_t>(one.rows.size())});
    }
    for (const auto& [hash, row] : one.rows.rows()) {
      if (part == ":row_hashes") writer.write(name, &hash, sizeof hash);
      if (part == ":rows") writer.write(name, row.data(), row.bytes());
    }
  }

  const LayerStats& stats_;
  int64_t steps_, channels_, rows_ = 0;
};

// Reads and checks one input's tensors.
class InputReader {
 public:
  InputReader(const SafetensorsFile& file, const std::string& input, const Sampling& sampling)
      : file_(file), input_(input), sampling_(sampling) {}

  LayerStats read() const {
    const Tensor numbers = get(":steps", DType::i64, {-1});
    const int64_t n = numbers.dim(0);
    check(n > 0, ":steps", "1 step or more", "none");
    const Tensor range = get(":channel_range", DType::f32, {n, 2, -1});
    const int64_t channels = range.dim(2);
    const Tensor sum = get(":channel_sum", DType::i64, {n, channels, 2});
    const Tensor histogram = get(":histogram", DType::i64, {n, Histogram::kBins});
    const Tensor counts = get(":counts", DType::i64, {n, kCounts});
    const Tensor absmax = get(":sample_absmax", DType::f32, {n});
    const Tensor absmax_sum = get(":sample_absmax_sum", DType::i64, {n, 2});
    LayerStats stats;
    int64_t previous = -2;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t step = numbers.as<int64_t>()[i];
      check(step > previous && step <= INT32_MAX, ":steps", "steps from -1 up, each once", step);
      previous = step;
      StepStats& one = stats.steps[static_cast<int>(step)];
      read_range(range.rows(i, i + 1), one);
      one.channel_sum.resize(static_cast<size_t>(channels));
      if (channels > 0)
        std::memcpy(one.channel_sum.data(), sum.rows(i, i + 1).data(), 16 * channels);
      read_counts(histogram.rows(i, i + 1), counts.rows(i, i + 1), one);
      one.sample_absmax_min = absmax.as<float>()[i];
      check(one.sample_absmax_min >= 0, ":sample_absmax", "magnitudes", one.sample_absmax_min);
      std::memcpy(&one.sample_absmax_sum, absmax_sum.rows(i, i + 1).data(), sizeof(Int128));
    }
    check_sums(stats);
    read_rows(counts, channels, stats);
    read_moment(channels, stats);
    return stats;
  }

 private:
  void read_range(const Tensor& range, StepStats& stats) const {
    const size_t channels = static_cast<size_t>(range.dim(2));
    const float* values = range.as<float>();
    stats.channel_min.assign(values, values + channels);
    stats.channel_max.assign(values + channels, values + 2 * channels);
    for (size_t c = 0; c < channels; ++c) {
      const float low = values[c], high = values[channels + c];
      const bool none = low == INFINITY && high == -INFINITY;
      check(none || (std::isfinite(low) && std::isfinite(high) && low <= high), ":channel_range",
            "finite values, the larger ones second", fmt::format("{} and {}", low, high));
      if (!none) stats.absmax = std::max({stats.absmax, -low, high});
    }
  }

  void read_counts(const Tensor& histogram, const Tensor& counts, StepStats& stats) const {
    stats.histogram = naturals(histogram, ":histogram");
    const std::vector<uint64_t> four = naturals(counts, ":counts");
    stats.non_finite = four[0];
    stats.count = four[1];
    stats.samples = four[2];
    stats.rows = RowSample(sampling_.rows);
    const uint64_t seen =
        std::accumulate(stats.histogram.begin(), stats.histogram.end(), stats.non_finite);
    check(seen == stats.count, ":counts",
          fmt::format("as many values as histogram and non-finite ones together, {}", seen),
          stats.count);
    const uint64_t channels = stats.channel_max.size();
    check(channels > 0 ? stats.count % channels == 0 : stats.count == 0, ":counts",
          fmt::format("a multiple of {} channels", channels), stats.count);
    check(four[3] <= static_cast<uint64_t>(sampling_.rows), ":counts",
          fmt::format("at most {} rows", sampling_.rows), four[3]);
  }

  // Those of all steps can be added up.
  void check_sums(const LayerStats& stats) const {
    constexpr const char* kExpected = "sums that fit 128 bits over all steps";
    std::vector<Int128> channel_sum(static_cast<size_t>(stats.channels()));
    Int128 absmax_sum = 0;
    for (const auto& [step, one] : stats.steps) {
      const auto in_step = [number = step](Int128 sum) {
        return fmt::format("{} in step {}", kChannelSum.value(sum), number);
      };
      for (size_t c = 0; c < channel_sum.size(); ++c) {
        if (!add_exactly(channel_sum[c], one.channel_sum[c]))
          check(false, ":channel_sum", kExpected, in_step(one.channel_sum[c]));
      }
      check(one.sample_absmax_sum >= 0, ":sample_absmax_sum", "sums of magnitudes",
            in_step(one.sample_absmax_sum));
      check(add_exactly(absmax_sum, one.sample_absmax_sum), ":sample_absmax_sum", kExpected,
            in_step(one.sample_absmax_sum));
    }
  }

  // The values are checked when they are used: this does not read the whole file.
  void read_rows(const Tensor& counts, int64_t channels, LayerStats& stats) const {
    int64_t total = 0;
    for (int64_t i = 0; i < counts.dim(0); ++i) total += counts.as<int64_t>()[i * kCounts + 3];
    const bool there = file_.contains(input_ + ":rows") || file_.contains(input_ + ":row_hashes");
    if (total == 0 && !there) return;
    const Tensor rows = get(":rows", DType::f32, {total, channels});
    const Tensor hashes = get(":row_hashes", DType::i64, {total});
    int64_t at = 0;
    size_t i = 0;
    for (auto& [step, one] : stats.steps) {
      const int64_t end = at + counts.as<int64_t>()[i++ * kCounts + 3];
      for (const int64_t first = at; at < end; ++at) {
        const auto hash = static_cast<uint64_t>(hashes.as<int64_t>()[at]);
        check(at == first || hash > one.rows.rows().rbegin()->first, ":row_hashes",
              "ascending numbers in a step", hash);
        one.rows.keep(hash, rows.rows(at, at + 1).reshaped({channels}));
      }
    }
  }

  void read_moment(int64_t channels, LayerStats& stats) const {
    const bool there = file_.contains(input_ + ":moment") ||
                       file_.contains(input_ + ":moment_sum") ||
                       file_.contains(input_ + ":moment_rows");
    if (!there) return;
    constexpr int64_t kMostChannels = int64_t{1} << 31;
    check(channels <= kMostChannels, ":moment", "fewer channels", channels);
    const Tensor products = get(":moment", DType::i64, {2, SecondMoment::triangle(channels)});
    const Tensor sum = get(":moment_sum", DType::i64, {2, channels});
    const uint64_t rows = naturals(get(":moment_rows", DType::i64, {1}), ":moment_rows")[0];
    check(rows > 0, ":moment_rows", "1 or more", rows);
    stats.moment = SecondMoment(products, sum, rows);
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
    const SafetensorsEntry& entry = file_.entry(input_ + part);
    for (size_t i = 0; i < shape.size() && i < entry.shape.size(); ++i) {
      if (shape[i] < 0) shape[i] = entry.shape[i];
    }
    OCTAVO_CHECK_FILE(entry.dtype == dtype && entry.shape == shape,
                      "{}: tensor \"{}{}\" is {} {}; expected {} {}", file_.path().string(),
                      printable(input_), part, name(entry.dtype), to_string(entry.shape),
                      name(dtype), to_string(shape));
    return file_.tensor(input_ + part);
  }

  template <class T>
  void check(bool good, const char* part, std::string_view expected, T found) const {
    OCTAVO_CHECK_FILE(good, "{}: tensor \"{}{}\" holds {}; expected {}", file_.path().string(),
                      printable(input_), part, found, expected);
  }

  const SafetensorsFile& file_;
  const std::string& input_;
  const Sampling& sampling_;
};

std::vector<std::string> read_prompts(const Config& config) {
  std::vector<std::string> result;
  const Json& prompts = config.json().contains("prompts") ? config.json().at("prompts") : Json();
  if (!prompts.is_array()) config.fail("prompts", "an array of strings");
  for (const Json& prompt : prompts) {
    if (!prompt.is_string()) config.fail("prompts", "an array of strings");
    result.push_back(prompt.get<std::string>());
  }
  const bool ascending = std::is_sorted(result.begin(), result.end()) &&
                         std::adjacent_find(result.begin(), result.end()) == result.end();
  if (!ascending) config.fail("prompts", "sorted prompts, each once");
  return result;
}

void read_layers(const Config& config, Stats& stats) {
  const Json& layers = config.json().contains("layers") ? config.json().at("layers") : Json();
  if (!layers.is_object()) config.fail("layers", "an object: layer to input");
  for (const auto& [layer, input] : layers.items()) {
    if (!input.is_string()) config.fail("layers", "an object: layer to input");
    stats.layers[layer] = input.get<std::string>();
  }
}

void read_metadata(const SafetensorsFile& file, Stats& stats) {
  const std::string path = file.path().string();
  const auto found = file.metadata().find(kMetadataKey);
  OCTAVO_CHECK_FILE(found != file.metadata().end(),
                    "{}: no metadata key \"{}\": this is a safetensors file, but not one that "
                    "`octavo calibrate` wrote",
                    path, kMetadataKey);
  const Config config = Config::parse(found->second, path + " (metadata)");
  const int64_t version = config.get_int("format_version", 1, INT32_MAX);
  OCTAVO_CHECK_FILE(version == kFormatVersion,
                    "{}: format_version {} of statistics; this program reads {}: {}", path, version,
                    kFormatVersion,
                    version < kFormatVersion ? "calibrate again, older files lack what solvers need"
                                             : "it is too old for this file");
  stats.model_hash = config.get_string("model_hash");
  stats.schedule = config.get_string("schedule");
  stats.sampling.rows = config.get_int("rows", 0, 1 << 20);
  stats.sampling.moment_stride = config.get_int("moment_stride", 0, 1 << 20);
  stats.prompts = read_prompts(config);
  if (config.has("unfinished")) {
    const Config unfinished = config.get_object("unfinished");
    stats.unfinished =
        Unfinished{unfinished.get_int("memory", 0, INT64_MAX),
                   unfinished.get_int("pass", 0, INT32_MAX), read_prompts(unfinished)};
  }
  read_layers(config, stats);
}

}  // namespace

void Stats::save(const std::filesystem::path& path) const {
  Json json = {{"format_version", kFormatVersion},
               {"model_hash", model_hash},
               {"schedule", schedule},
               {"rows", sampling.rows},
               {"moment_stride", sampling.moment_stride},
               {"prompts", prompts},
               {"layers", Json(layers)}};
  if (unfinished) {
    json["unfinished"] = {{"memory", unfinished->memory},
                          {"pass", unfinished->pass},
                          {"prompts", unfinished->prompts}};
  }
  std::vector<TensorDecl> decls;
  std::map<std::string, InputParts> parts;
  for (const auto& [input, stats] : inputs) {
    const InputParts& own = parts.emplace(input, InputParts(input, stats)).first->second;
    for (TensorDecl& decl : own.declarations(input)) decls.push_back(std::move(decl));
  }
  sort_for_safetensors(decls);
  SafetensorsWriter writer(path, decls, {{kMetadataKey, json.dump()}});
  for (const TensorDecl& decl : decls) {
    const size_t colon = decl.name.rfind(':');
    try {
      parts.at(decl.name.substr(0, colon)).write(writer, decl.name, decl.name.substr(colon));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::invalid_argument) throw;
      OCTAVO_FAIL(invalid_argument, "tensor \"{}\": {}", printable(decl.name), error.what());
    }
  }
  writer.finish();
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
    const std::string input = name.substr(0, colon);
    if (stats.inputs.count(input) != 0) continue;
    stats.inputs[input] = InputReader(*file, input, stats.sampling).read();
  }
  for (const auto& [layer, input] : stats.layers) {
    OCTAVO_CHECK_FILE(stats.inputs.count(input) != 0,
                      "{}: layer \"{}\" has input \"{}\", which is not in the file", path.string(),
                      printable(layer), printable(input));
  }
  return stats;
}

}  // namespace octavo
