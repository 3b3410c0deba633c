#pragma once
// Calibration statistics of layer inputs: per tensor and per denoising step. Kept in a safetensors
// file (stats_file.cc); merging adds up exactly in any order.
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace octavo {

struct StepStats {
  float absmax = 0;                   // of the finite values
  std::vector<float> channel_absmax;  // of the last axis (linears) or axis 1 (convolutions)
  std::vector<uint64_t> histogram;    // of the finite |x|, bins of histogram.h
  uint64_t non_finite = 0, count = 0, samples = 0;  // NaN and infinity; elements; batch entries
  void merge(const StepStats& other);               // Error when channel counts differ
  bool operator==(const StepStats&) const = default;
};

struct Stats {
  std::string model_hash;            // of the model calibrated
  std::string schedule;              // JSON: sampler, steps, guidance
  std::vector<std::string> prompts;  // done so far, "seed:prompt", sorted
  // "component/layer" -> step (-1: not in the loop)
  std::map<std::string, std::map<int, StepStats>> layers;

  // Error when model or schedule differ or a prompt is in both: it would count twice.
  void merge(const Stats& other);
  // Over all steps; Error names the layer when it was never seen, and how it could be.
  StepStats all_steps(const std::string& layer) const;
  float absmax(const std::string& layer) const { return all_steps(layer).absmax; }

  void save(const std::filesystem::path& path) const;    // atomically; same content, same bytes
  static Stats load(const std::filesystem::path& path);  // Error{bad_file} on anything off
  std::string hash() const;                              // of the content, hex
  // A table, one line a layer: absmax with the step where it was met, quantiles, non-finite values.
  std::string text() const;
  bool operator==(const Stats&) const = default;
};

// What one tensor adds: channels along `channel_axis` (negative counts from the end), samples along
// axis 0. One pass over the data on all threads; the result does not depend on their number.
StepStats observe(const Tensor& tensor, int channel_axis);

}  // namespace octavo
