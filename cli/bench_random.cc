#include "bench_random.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/atomic_file.h"
#include "base/check.h"
#include "bench_table.h"
#include "common.h"
#include "models/random_store.h"
#include "octavo/version.h"
#include "sample/rng.h"

namespace octavo::cli {
namespace {

constexpr int kSteps = 28;

}  // namespace

Bindings read_extents(const std::vector<std::string>& words, int64_t batch) {
  Bindings extents{{"B", batch}, {"S", 4096}, {"T", 512}};
  for (const std::string& word : words) {
    int64_t value = 0;
    const size_t equals = word.find('=');
    const char* end = word.data() + word.size();
    const bool read = equals != word.npos &&
                      std::from_chars(word.data() + equals + 1, end, value).ptr == end && value > 0;
    OCTAVO_CHECK(read && extents.contains(word.substr(0, equals)),
                 "extent '{}' is not S=TOKENS or T=TOKENS", word);
    extents[word.substr(0, equals)] = value;
  }
  return extents;
}

RandomArithmetic read_precision(const std::string& name, const std::string& compute) {
  const bool is_float = name == "f32" || name == "bf16";
  OCTAVO_CHECK(!is_float || compute.empty() || compute == name,
               "--precision {} of random weights is arithmetic in {} and --compute says {}; leave "
               "one out",
               name, name, compute);
  if (is_float) return {parse_compute(name), std::nullopt, std::nullopt};
  RandomArithmetic result{parse_compute(compute.empty() ? "bf16" : compute), std::nullopt,
                          std::nullopt};
  const size_t plus = name.find('+');
  result.scheme = find_scheme(name.substr(0, plus));
  if (plus != name.npos) result.attention = find_attention_scheme(name.substr(plus + 1));
  return result;
}

RandomInputs make_inputs(const Graph& graph, const Bindings& extents) {
  RandomInputs inputs;
  inputs.schedule.resize(kSteps);
  uint64_t seed = 0;
  for (ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    const Shape shape = evaluate(value.type.shape, extents);
    if (value.rate == Rate::schedule) {
      for (int k = 0; k < kSteps; ++k) {
        const float t = 1 - static_cast<float>(k) / kSteps;
        inputs.schedule[static_cast<size_t>(k)][value.name] =
            Tensor::from(std::vector<float>(static_cast<size_t>(shape[0]), t), shape);
      }
      continue;
    }
    (value.rate == Rate::request ? inputs.request : inputs.step)[value.name] =
        randn(RngKind::philox, seed++, shape);
  }
  return inputs;
}

namespace {

// Seconds of all steps in a row: on a device with the sampler's arithmetic between them.
double time_loop(Component& model, const RandomInputs& inputs) {
  if (model.can_loop()) {
    const EulerLoop loop{inputs.step.begin()->first,
                         model.source_graph().outputs().front().name,
                         std::vector<float>(kSteps, -1.0f / kSteps),
                         {}};
    return model.time_loops(loop, inputs.step, 1)[0];
  }
  std::vector<size_t> steps(kSteps);
  std::iota(steps.begin(), steps.end(), size_t{0});
  const std::vector<double> seconds = model.time_steps(steps, inputs.step);
  return std::accumulate(seconds.begin(), seconds.end(), 0.0);
}

}  // namespace

void bench_random(const RandomBench& o) {
  const Bindings extents = read_extents(o.extents, o.batch);
  const Config config = known_config(o.model);
  const Family& family = find_family(config);
  const auto [compute, scheme, attention] = read_precision(o.precision, o.compute);
  const DType stored = compute == DType::f32 ? DType::f32 : DType::bf16;
  const RandomStore store(family, config, stored, scheme, attention);
  ComponentOptions options;
  options.compute = compute;
  options.plan.device = open_device(o.device);

  const auto opened = Clock::now();
  Component model(family.build(config, &store, family.methods.front()), options);
  const RandomInputs inputs = make_inputs(model.source_graph(), extents);
  model.begin(inputs.request, inputs.schedule);
  model.step(0, inputs.step);
  const double first = seconds_since(opened);

  model.time_steps({0, 0, 0}, inputs.step);  // warm
  const Timing step =
      timing_of(model.time_steps(std::vector<size_t>(static_cast<size_t>(o.runs), 0), inputs.step));
  const double whole = time_loop(model, inputs);
  model.set_profiling(true);
  constexpr int kProfiled = 3;
  for (int i = 0; i < kProfiled; ++i) model.step(0, inputs.step);
  std::vector<NodeProfile> nodes = model.profile();
  std::erase_if(nodes, [](const NodeProfile& n) { return !n.every_step; });
  const std::vector<Row> rows = by_kernel(nodes);

  const std::string device =
      options.plan.device ? options.plan.device->info().name : std::string("CPU");
  fmt::print("{} · {} · B={} S={} T={} · {}\n", o.model, o.precision, extents.at("B"),
             extents.at("S"), extents.at("T"), device);
  print_timing("step", step);
  fmt::print("{:28s} {:9.3f} ms   ({:.4f} x steps)\n", fmt::format("loop of {} steps", kSteps),
             whole * 1e3, whole / (kSteps * step.median));
  fmt::print("{:28s} {:9.3f} ms\n", "start to first step", first * 1e3);
  fmt::print("{:28s} {}\n\n", "weights and buffers",
             human_bytes(static_cast<double>(model.resident_bytes())));
  print_rows(rows, kProfiled, static_cast<size_t>(o.rows));
  if (o.json.empty()) return;
  const nlohmann::ordered_json json{{"version", OCTAVO_VERSION},
                                    {"model", o.model},
                                    {"precision", o.precision},
                                    {"device", device},
                                    {"extents", extents},
                                    {"step", to_json(step)},
                                    {"loop_ms", whole * 1e3},
                                    {"first_step_ms", first * 1e3},
                                    {"resident_bytes", model.resident_bytes()},
                                    {"ops", rows_json(rows, kProfiled)}};
  write_file(o.json, json.dump(1) + "\n");
}

}  // namespace octavo::cli
