#include "sample/flow_match_euler.h"

#include <cmath>

#include "io/json.h"
#include "io/safetensors.h"
#include "plan/expect_error.h"

#include <nlohmann/json.hpp>

namespace octavo {
namespace {

using test::expect_error;

struct GoldenRun {
  std::string name;
  FlowMatchSchedule schedule;
};

std::vector<GoldenRun> golden_runs() {
  const Config file = Config::load(OCTAVO_SOURCE_DIR "/tests/goldens/schedulers/case.json");
  std::vector<GoldenRun> runs;
  for (const Json& object : file.json().at("runs")) {
    const Config run(object, file.where());
    const FlowMatchEulerConfig config = parse_flow_match_euler(run.get_object("config"));
    const Config arguments = run.get_object("set_timesteps");
    const auto mu = arguments.has("mu") ? std::optional(arguments.get_double("mu")) : std::nullopt;
    runs.push_back({run.get_string("name"), {}});
    runs.back().schedule =
        arguments.has("sigmas")
            ? flow_match_schedule(config, arguments.get_doubles("sigmas"), mu)
            : flow_match_schedule(
                  config, static_cast<int>(arguments.get_int("num_inference_steps", 1, 1000)), mu);
  }
  return runs;
}

// The golden runs' model: 0.3 x + 0.05 sin(k).
Tensor model(const Tensor& x, size_t k) {
  Tensor v = Tensor::empty(DType::f32, x.shape());
  const double bias = 0.05 * std::sin(static_cast<double>(k));
  for (int64_t i = 0; i < x.elements(); ++i) {
    v.as_mutable<float>()[i] = 0.3f * x.as<float>()[i] + static_cast<float>(bias);
  }
  return v;
}

void expect_near(const float* found, const Tensor& expected, double bound,
                 const std::string& what) {
  for (int64_t i = 0; i < expected.elements(); ++i) {
    ASSERT_NEAR(found[i], expected.as<float>()[i], bound) << what << " at " << i;
  }
}

TEST(FlowMatchEuler, FollowsDiffusers) {
  const auto io =
      SafetensorsFile::open(OCTAVO_SOURCE_DIR "/tests/goldens/schedulers/io.safetensors");
  const std::vector<GoldenRun> runs = golden_runs();
  ASSERT_GE(runs.size(), 9u);
  for (const auto& [name, schedule] : runs) {
    const Tensor sigmas = io->tensor(name + ".sigmas"), timesteps = io->tensor(name + ".timesteps");
    ASSERT_EQ(sigmas.elements(), static_cast<int64_t>(schedule.sigmas.size())) << name;
    ASSERT_EQ(timesteps.elements(), static_cast<int64_t>(schedule.steps())) << name;
    expect_near(schedule.sigmas.data(), sigmas, 2e-6, name + ".sigmas");
    expect_near(schedule.timesteps.data(), timesteps, 3e-4, name + ".timesteps");

    const Tensor trajectory = io->tensor(name + ".trajectory");
    float largest = 0;
    for (float v : trajectory.to_floats()) largest = std::max(largest, std::fabs(v));
    Tensor x = io->tensor("start");
    for (size_t k = 0; k < schedule.steps(); ++k) {
      x = flow_match_step(schedule, k, x, model(x, k));
      const auto row = static_cast<int64_t>(k) + 1;
      expect_near(x.as<float>(), trajectory.rows(row, row + 1), 5e-6 * largest,
                  name + ".trajectory step " + std::to_string(k));
    }
  }
}

TEST(FlowMatchEuler, MuIsLinearInTokens) {
  const FlowMatchEulerConfig config;
  EXPECT_NEAR(flow_match_mu(config, 256), 0.5, 1e-12);
  EXPECT_NEAR(flow_match_mu(config, 4096), 1.15, 1e-12);
  EXPECT_NEAR(flow_match_mu(config, 1024), 0.63, 1e-12);  // the goldens' flow_flux_seq1024
}

TEST(FlowMatchEuler, DataOfAStraightPathIsFoundAtEveryStep) {
  FlowMatchEulerConfig config;
  config.shift = 3;
  const FlowMatchSchedule schedule = flow_match_schedule(config, 5);
  const Tensor data = Tensor::from({1, -2, 0.5}, {3}), noise = Tensor::from({0.25, 4, -1}, {3});
  Tensor x = noise, v = Tensor::empty(DType::f32, {3});
  for (int i = 0; i < 3; ++i) v.as_mutable<float>()[i] = noise.as<float>()[i] - data.as<float>()[i];
  for (size_t k = 0; k < schedule.steps(); ++k) {
    expect_near(flow_match_x0(schedule, k, x, v).as<float>(), data, 1e-6, "x0");
    x = flow_match_step(schedule, k, x, v);
  }
  expect_near(x.as<float>(), data, 1e-6, "end");
}

TEST(FlowMatchEuler, RefusesWhatItCannotDo) {
  const auto parse = [](const std::string& text) {
    return parse_flow_match_euler(Config::parse(text, "scheduler_config.json"));
  };
  for (const char* key : {"use_karras_sigmas", "use_beta_sigmas", "use_exponential_sigmas",
                          "invert_sigmas", "stochastic_sampling"}) {
    expect_error(ErrorCode::unsupported, {"scheduler_config.json", key},
                 [&] { parse("{\"" + std::string(key) + "\": true}"); });
  }
  expect_error(ErrorCode::unsupported, {"shift_terminal"},
               [&] { parse(R"({"shift_terminal": 0.02})"); });
  expect_error(ErrorCode::bad_file, {"shift", "-1"}, [&] { parse(R"({"shift": -1})"); });
  expect_error(ErrorCode::bad_file, {"time_shift_type", "cubic", "linear"},
               [&] { parse(R"({"time_shift_type": "cubic"})"); });

  FlowMatchEulerConfig dynamic;
  dynamic.use_dynamic_shifting = true;
  expect_error(ErrorCode::invalid_argument, {"mu"}, [&] { flow_match_schedule(dynamic, 4); });
  const FlowMatchEulerConfig config;
  expect_error(ErrorCode::invalid_argument, {"0 steps"}, [&] { flow_match_schedule(config, 0); });
  expect_error(ErrorCode::invalid_argument, {"sigma 1 of 2", "0.5"}, [&] {
    flow_match_schedule(config, std::vector<double>{0.5, 0.5});
  });
  const FlowMatchSchedule schedule = flow_match_schedule(config, 2);
  const Tensor x = Tensor::zeros(DType::f32, {2});
  expect_error(ErrorCode::invalid_argument, {"step 2", "schedule of 2"},
               [&] { flow_match_step(schedule, 2, x, x); });
  expect_error(ErrorCode::invalid_argument, {"velocity", "[3]", "[2]"},
               [&] { flow_match_step(schedule, 0, x, Tensor::zeros(DType::f32, {3})); });
}

}  // namespace
}  // namespace octavo
