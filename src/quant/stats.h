#pragma once
// Calibration statistics of layer inputs: per tensor and per denoising step. Kept in a safetensors
// file; merging adds up exactly in any order.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace octavo {

struct StepStats {
  float absmax = 0;
  std::vector<float> channel_absmax;   // of the last axis (linears) or axis 1 (convolutions)
  std::vector<uint64_t> histogram;     // |x| in 8 bins an octave from 2^-24 to 2^24, + under, over
  uint64_t non_finite = 0, count = 0, samples = 0;
  void merge(const StepStats& other);  // Error when channel counts differ
};

struct Stats {
  std::string model_hash;     // of the model calibrated
  std::string schedule;       // JSON: sampler, steps, guidance
  std::vector<std::string> prompts;  // done so far, "seed:prompt"; a resumed run skips them
  std::map<std::string, std::map<int, StepStats>> layers;  // "component/layer" -> step (-1: not in the loop)
  void merge(const Stats& other);
  float absmax(const std::string& layer) const;  // over all steps; Error names the layer if absent
  void save(const std::filesystem::path& path) const;  // atomically
  static Stats load(const std::filesystem::path& path);  // Error{bad_file} on anything off
  std::string hash() const;
  std::string text() const;
};

}  // namespace octavo
