#include "sample/flow_match_euler.h"

#include <cmath>

#include "base/check.h"
#include "io/json.h"

namespace octavo {
namespace {

void check_config(const FlowMatchEulerConfig& config, std::optional<double> mu) {
  OCTAVO_CHECK(config.num_train_timesteps >= 1,
               "scheduler: num_train_timesteps is {}, expected >= 1", config.num_train_timesteps);
  OCTAVO_CHECK(std::isfinite(config.shift) && config.shift > 0,
               "scheduler: shift is {}, expected a positive number", config.shift);
  if (config.use_dynamic_shifting) {
    OCTAVO_CHECK(mu.has_value(),
                 "scheduler: use_dynamic_shifting needs mu (flow_match_mu gives it)");
    OCTAVO_CHECK(std::isfinite(*mu), "scheduler: mu is {}, expected a finite number", *mu);
  }
}

// T is the type NumPy has there: double for evenly spaced steps, float for given sigmas.
template <class T>
T shifted(const FlowMatchEulerConfig& config, std::optional<double> mu, T sigma) {
  if (!config.use_dynamic_shifting) {
    const auto shift = static_cast<T>(config.shift);
    return shift * sigma / (1 + static_cast<T>(config.shift - 1) * sigma);
  }
  const bool exponential = config.time_shift_type == FlowMatchEulerConfig::TimeShift::exponential;
  const T weight = static_cast<T>(exponential ? std::exp(*mu) : *mu);
  return weight / (weight + (1 / sigma - 1));
}

FlowMatchSchedule finished(const FlowMatchEulerConfig& config, std::vector<float> sigmas) {
  FlowMatchSchedule schedule;
  for (float sigma : sigmas) {
    schedule.timesteps.push_back(sigma * static_cast<float>(config.num_train_timesteps));
  }
  schedule.sigmas = std::move(sigmas);
  schedule.sigmas.push_back(0);
  return schedule;
}

// The config's own sigma of training timestep t, as the scheduler's constructor rounds it.
float training_sigma(const FlowMatchEulerConfig& config, int64_t t) {
  const float sigma = static_cast<float>(t) / static_cast<float>(config.num_train_timesteps);
  return config.use_dynamic_shifting ? sigma : shifted<float>(config, {}, sigma);
}

void check_step(const FlowMatchSchedule& schedule, size_t k, const Tensor& sample,
                const Tensor& velocity) {
  OCTAVO_CHECK(k < schedule.steps(), "scheduler: step {} of a schedule of {}", k, schedule.steps());
  for (const Tensor* t : {&sample, &velocity}) {
    OCTAVO_CHECK(t->dtype() == DType::f32 && t->shape() == sample.shape(),
                 "scheduler: step {}: the {} is {}{}, expected f32{}", k,
                 t == &sample ? "sample" : "velocity", name(t->dtype()), to_string(t->shape()),
                 to_string(sample.shape()));
  }
}

Tensor combine(const Tensor& a, const Tensor& b, float factor) {
  Tensor result = Tensor::empty(DType::f32, a.shape());
  const float *x = a.as<float>(), *y = b.as<float>();
  float* out = result.as_mutable<float>();
  for (int64_t i = 0; i < a.elements(); ++i) out[i] = x[i] + factor * y[i];
  return result;
}

}  // namespace

FlowMatchEulerConfig parse_flow_match_euler(const Config& config) {
  constexpr int64_t kMany = int64_t{1} << 40;
  for (const char* key : {"use_karras_sigmas", "use_beta_sigmas", "use_exponential_sigmas",
                          "invert_sigmas", "stochastic_sampling"}) {
    OCTAVO_CHECK_CODE(unsupported, !config.get_bool_or(key, false),
                      "{}: \"{}\" is true; this sampler can do false only", config.where(), key);
  }
  OCTAVO_CHECK_CODE(unsupported, config.get_double_or("shift_terminal", 0) == 0,
                    "{}: \"shift_terminal\" is {}; this sampler can do null only", config.where(),
                    config.get_double("shift_terminal"));
  FlowMatchEulerConfig result;
  result.num_train_timesteps = config.get_int_or("num_train_timesteps", 1000, 1, kMany);
  result.shift = config.get_double_or("shift", 1, 1e-6, 1e6);
  result.use_dynamic_shifting = config.get_bool_or("use_dynamic_shifting", false);
  result.base_shift = config.get_double_or("base_shift", result.base_shift);
  result.max_shift = config.get_double_or("max_shift", result.max_shift);
  result.base_image_seq_len = config.get_int_or("base_image_seq_len", 256, 1, kMany);
  result.max_image_seq_len = config.get_int_or("max_image_seq_len", 4096, 1, kMany);
  if (config.has("time_shift_type") &&
      config.get_choice("time_shift_type", {"exponential", "linear"}) == "linear") {
    result.time_shift_type = FlowMatchEulerConfig::TimeShift::linear;
  }
  return result;
}

double flow_match_mu(const FlowMatchEulerConfig& config, int64_t tokens) {
  OCTAVO_CHECK(config.max_image_seq_len != config.base_image_seq_len,
               "scheduler: base_image_seq_len and max_image_seq_len are both {}",
               config.base_image_seq_len);
  const double slope = (config.max_shift - config.base_shift) /
                       static_cast<double>(config.max_image_seq_len - config.base_image_seq_len);
  const double offset = config.base_shift - slope * static_cast<double>(config.base_image_seq_len);
  return static_cast<double>(tokens) * slope + offset;
}

FlowMatchSchedule flow_match_schedule(const FlowMatchEulerConfig& config, int steps,
                                      std::optional<double> mu) {
  check_config(config, mu);
  OCTAVO_CHECK(steps >= 1, "scheduler: {} steps, expected at least 1", steps);
  const auto scale = static_cast<double>(config.num_train_timesteps);
  const double first = training_sigma(config, config.num_train_timesteps) * scale;
  const double last = training_sigma(config, 1) * scale;
  const double spacing = steps > 1 ? (last - first) / (steps - 1) : 0;
  std::vector<float> sigmas;
  for (int k = 0; k < steps; ++k) {
    const double t = k > 0 && k == steps - 1 ? last : first + k * spacing;
    sigmas.push_back(static_cast<float>(shifted<double>(config, mu, t / scale)));
  }
  return finished(config, std::move(sigmas));
}

FlowMatchSchedule flow_match_schedule(const FlowMatchEulerConfig& config,
                                      std::span<const double> sigmas, std::optional<double> mu) {
  check_config(config, mu);
  OCTAVO_CHECK(!sigmas.empty(), "scheduler: no sigmas given, expected at least 1");
  std::vector<float> result;
  for (size_t k = 0; k < sigmas.size(); ++k) {
    OCTAVO_CHECK(sigmas[k] > 0 && sigmas[k] <= 1 && (k == 0 || sigmas[k] < sigmas[k - 1]),
                 "scheduler: sigma {} of {} is {}, expected falling values in (0, 1]", k,
                 sigmas.size(), sigmas[k]);
    result.push_back(shifted<float>(config, mu, static_cast<float>(sigmas[k])));
  }
  return finished(config, std::move(result));
}

Tensor flow_match_step(const FlowMatchSchedule& schedule, size_t k, const Tensor& sample,
                       const Tensor& velocity) {
  check_step(schedule, k, sample, velocity);
  return combine(sample, velocity, schedule.sigmas[k + 1] - schedule.sigmas[k]);
}

std::vector<float> flow_match_factors(const FlowMatchSchedule& schedule) {
  std::vector<float> factors;
  for (size_t k = 0; k < schedule.steps(); ++k) {
    factors.push_back(schedule.sigmas[k + 1] - schedule.sigmas[k]);
  }
  return factors;
}

Tensor flow_match_x0(const FlowMatchSchedule& schedule, size_t k, const Tensor& sample,
                     const Tensor& velocity) {
  check_step(schedule, k, sample, velocity);
  return combine(sample, velocity, -schedule.sigmas[k]);
}

}  // namespace octavo
