#pragma once
// Euler steps along a flow-matching path, x = (1 - sigma) data + sigma noise: diffusers'
// FlowMatchEulerDiscreteScheduler, with its roundings (f32 where it has f32, double where NumPy
// has).
#include <optional>
#include <span>
#include <vector>

#include "io/json.h"
#include "tensor/tensor.h"

namespace octavo {

// Names and defaults as in diffusers' scheduler_config.json.
struct FlowMatchEulerConfig {
  enum class TimeShift : uint8_t { exponential, linear };

  int64_t num_train_timesteps = 1000;
  double shift = 1;                   // static: sigma' = shift sigma / (1 + (shift - 1) sigma)
  bool use_dynamic_shifting = false;  // by mu instead: sigma' = e^mu / (e^mu + 1/sigma - 1)
  TimeShift time_shift_type = TimeShift::exponential;  // linear: mu in place of e^mu
  double base_shift = 0.5, max_shift = 1.15;
  int64_t base_image_seq_len = 256, max_image_seq_len = 4096;
};

// Keys that this sampler does not implement (Karras, beta and exponential sigmas, shift_terminal,
// inverted sigmas, stochastic sampling) must be off: Error{unsupported} names file and key.
FlowMatchEulerConfig parse_flow_match_euler(const Config& config);

struct FlowMatchSchedule {
  std::vector<float> sigmas;     // steps + 1 values, falling; the last is 0
  std::vector<float> timesteps;  // steps values: sigma * num_train_timesteps
  size_t steps() const { return timesteps.size(); }
};

// Dynamic shifting's mu for a picture of `tokens` tokens: linear in the tokens, base_shift at
// base_image_seq_len and max_shift at max_image_seq_len.
double flow_match_mu(const FlowMatchEulerConfig& config, int64_t tokens);

// `steps` evenly spaced timesteps between the largest and the smallest that the config has. As in
// diffusers, a static shift is applied to those ends and to the points between them.
// mu is required iff the config shifts dynamically.
FlowMatchSchedule flow_match_schedule(const FlowMatchEulerConfig& config, int steps,
                                      std::optional<double> mu = {});
// From sigmas before shifting, falling, in (0, 1]; a pipeline's usual choice is 1 - k / steps.
FlowMatchSchedule flow_match_schedule(const FlowMatchEulerConfig& config,
                                      std::span<const double> sigmas,
                                      std::optional<double> mu = {});

// The sample after step k: x + (sigma_{k+1} - sigma_k) v. Both f32, of one shape.
Tensor flow_match_step(const FlowMatchSchedule& schedule, size_t k, const Tensor& sample,
                       const Tensor& velocity);
// The factors sigma_{k+1} - sigma_k of all steps.
std::vector<float> flow_match_factors(const FlowMatchSchedule& schedule);
// x0 = x - sigma_k v: the data that step k points at.
Tensor flow_match_x0(const FlowMatchSchedule& schedule, size_t k, const Tensor& sample,
                     const Tensor& velocity);

}  // namespace octavo
