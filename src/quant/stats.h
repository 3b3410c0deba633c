#pragma once
// Calibration statistics of layer inputs: per tensor and per denoising step. Kept in a safetensors
// file (stats_file.cc); merging adds up exactly in any order. Layers that take one value as their
// input (q, k and v) share its statistics, which are kept once and found under each name.
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quant/fixed.h"
#include "quant/row_sample.h"
#include "quant/second_moment.h"
#include "tensor/tensor.h"

namespace octavo {

// Of one value in one step. Channels: the last axis (linears, operands of attention) or axis 1
// (convolutions).
struct StepStats {
  float absmax = 0;                             // of the finite values
  std::vector<float> channel_min, channel_max;  // of the finite values; +inf, -inf: there were none
  std::vector<Int128> channel_sum;              // of the finite values, units of kChannelSum
  std::vector<uint64_t> histogram;              // of the finite |x|, bins of histogram.h
  uint64_t non_finite = 0, count = 0, samples = 0;  // NaN and infinity; elements; batch entries
  // Of the largest finite magnitudes of single samples: their sum, units of kChannelSum, and the
  // least; infinity: there were none.
  Int128 sample_absmax_sum = 0;
  float sample_absmax_min = std::numeric_limits<float>::infinity();
  RowSample rows;  // of linears: some of its rows

  std::vector<float> channel_absmax() const;
  std::vector<double> channel_mean() const;
  void merge(const StepStats& other);  // Error when channel counts differ
  bool operator==(const StepStats&) const = default;
};

struct LayerStats {
  std::map<int, StepStats> steps;  // by denoising step; -1: not in the loop
  SecondMoment moment;             // of linears: over some rows of all steps

  int64_t channels() const;
  StepStats all_steps() const;
  void merge(const LayerStats& other);
  bool operator==(const LayerStats&) const = default;
};

// Which rows of linears' inputs are kept; part of what two calibrations must agree in.
struct Sampling {
  int64_t rows = 32;           // kept of every step, at most
  int64_t moment_stride = 16;  // one row in so many enters the second moment; 0: no second moments
  bool operator==(const Sampling&) const = default;
};

// Of a checkpoint between the passes of a calibration (calibrate.h): not to be used otherwise.
struct Unfinished {
  int64_t memory = 0, pass = 0;
  std::vector<std::string> prompts;  // done in this pass, sorted
  bool operator==(const Unfinished&) const = default;
};

struct Stats {
  std::string model_hash;            // of the model calibrated
  std::string schedule;              // JSON: sampler, steps, guidance
  std::vector<std::string> prompts;  // done so far, "seed:prompt", sorted
  Sampling sampling;
  std::optional<Unfinished> unfinished;
  std::map<std::string, LayerStats> inputs;  // by "component/value"
  std::map<std::string, std::string>
      layers;  // "component/layer", "component/module.attention.q": its input

  // The layer's statistics. Errors name the layer when it was never seen, and how it could be.
  const LayerStats& layer(const std::string& layer) const;
  bool has(const std::string& layer) const { return layers.count(layer) != 0; }
  StepStats all_steps(const std::string& layer) const;
  float absmax(const std::string& layer) const { return all_steps(layer).absmax; }
  std::map<int, float> step_absmax(const std::string& layer) const;
  // Over all steps.
  std::vector<float> channel_min(const std::string& layer) const;
  std::vector<float> channel_max(const std::string& layer) const;
  std::vector<float> channel_absmax(const std::string& layer) const;
  std::vector<double> channel_mean(const std::string& layer) const;
  // Error when there is none: a convolution, or a calibration without second moments.
  const SecondMoment& moment(const std::string& layer) const;
  // f32 [n, channels], of one step or of all of them, one after the other; the same bytes from the
  // same statistics. Error when there are none.
  Tensor rows(const std::string& layer, std::optional<int> step = std::nullopt) const;

  // Error when these are of another model than that with this hash (`where` names it), are a
  // checkpoint, or hold no prompt: nothing was seen.
  void check_usable(const std::string& hash, const std::string& where) const;
  // Entry of a layer that shares its input with no other; made if it is not there.
  LayerStats& add(const std::string& layer);
  // Error when model, schedule or sampling differ or a prompt is in both: it would count twice.
  void merge(const Stats& other);

  void save(const std::filesystem::path& path) const;  // atomically; same content, same bytes
  // Error{bad_file} on anything off. Rows and second moments stay in the file until they are used.
  static Stats load(const std::filesystem::path& path);
  std::string hash() const;  // of the content, hex
  // A table, one line a layer whose name matches the glob: absmax with the step where it was met,
  // quantiles, non-finite values; a line a step as well, if asked for.
  std::string text(std::string_view layers_matching = "*", bool by_step = false) const;
  bool operator==(const Stats&) const = default;
};

// What one tensor adds, without rows: channels along `channel_axis` (negative counts from the end),
// samples along axis 0. One pass over the data on all threads; the result does not depend on their
// number, nor on how samples are spread over tensors.
StepStats observe(const Tensor& tensor, int channel_axis);

}  // namespace octavo
