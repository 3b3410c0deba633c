// octavo bench MODEL: where the time of a denoising step goes.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/interrupt.h"
#include "base/threads.h"
#include "common.h"
#include "octavo/version.h"
#include "sample/rng.h"
#include "verb.h"

namespace octavo::cli {
namespace {

struct Options {
  std::string model, precision = "f32", json, prompt = "a picture", device = "cpu";
  int batch = 1, runs = 30, rows = 20;
  bool no_hoist = false;
};

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Timing {
  double median = 0, low = 0, high = 0;  // seconds; quartiles
};

// One discarded warm-up, then `runs` timed calls.
template <class F>
Timing time_it(int runs, F&& body) {
  body(0);
  std::vector<double> t;
  for (int i = 0; i < runs; ++i) {
    check_interrupt();
    const auto start = Clock::now();
    body(i);
    t.push_back(seconds_since(start));
  }
  std::sort(t.begin(), t.end());
  return {t[t.size() / 2], t[t.size() / 4], t[t.size() * 3 / 4]};
}

nlohmann::ordered_json to_json(const Timing& t) {
  return {{"median_ms", t.median * 1e3}, {"q1_ms", t.low * 1e3}, {"q3_ms", t.high * 1e3}};
}

struct Row {
  std::string op, kernel;
  double seconds = 0, flops = 0;
  int64_t bytes = 0, calls = 0;
};

// Profile rows summed by op and kernel, the dearest first.
std::vector<Row> by_kernel(const std::vector<NodeProfile>& nodes) {
  std::vector<Row> rows;
  for (const NodeProfile& n : nodes) {
    if (n.calls == 0) continue;
    auto it = std::find_if(rows.begin(), rows.end(),
                           [&](const Row& r) { return r.op == n.op && r.kernel == n.kernel; });
    if (it == rows.end()) it = rows.insert(rows.end(), {n.op, n.kernel});
    it->seconds += n.seconds;
    it->flops += n.flops * static_cast<double>(n.calls);
    it->bytes += n.bytes * n.calls;
    it->calls += n.calls;
  }
  std::sort(rows.begin(), rows.end(),
            [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  return rows;
}

void print_rows(const std::vector<Row>& rows, int runs, size_t limit) {
  double total = 0;
  for (const Row& r : rows) total += r.seconds;
  fmt::print("{:20s} {:34s} {:>5s} {:>9s} {:>6s} {:>9s} {:>8s}\n", "op", "kernel", "calls",
             "us/step", "%", "GFLOP/s", "GB/s");
  for (size_t i = 0; i < std::min(limit, rows.size()); ++i) {
    const Row& r = rows[i];
    fmt::print("{:20s} {:34s} {:5d} {:9.1f} {:6.1f} {:9.1f} {:8.2f}\n", r.op, r.kernel,
               r.calls / runs, r.seconds / runs * 1e6, 100 * r.seconds / total,
               r.flops / r.seconds / 1e9, static_cast<double>(r.bytes) / r.seconds / 1e9);
  }
}

nlohmann::ordered_json rows_json(const std::vector<Row>& rows, int runs) {
  auto list = nlohmann::ordered_json::array();
  for (const Row& r : rows)
    list.push_back({{"op", r.op},
                    {"kernel", r.kernel},
                    {"calls", r.calls / runs},
                    {"us_per_step", r.seconds / runs * 1e6},
                    {"flops_per_second", r.flops / r.seconds},
                    {"bytes_per_second", static_cast<double>(r.bytes) / r.seconds}});
  return list;
}

void run(const Options& o) {
  if (!o.json.empty()) check_output(o.json);
  const Precision precision = open_at_precision(o.model, o.precision);
  PipelineOptions options;
  options.component.compute = precision.compute;
  options.component.hoist = !o.no_hoist;
  options.component.plan.device = open_device(o.device);
  const auto opened = Clock::now();
  const auto pipeline = make_pipeline(*precision.model, options);
  const std::vector<std::string> prompts(o.batch, o.prompt);
  Shape shape = pipeline->latent_shape();
  shape.insert(shape.begin(), o.batch);
  const Tensor noise = randn(RngKind::torch, 0, shape);
  Tensor decoded = pipeline->decode(pipeline->denoise(pipeline->encode(prompts), noise));
  const double first = seconds_since(opened);

  const Conditioning conditioning = pipeline->encode(prompts);
  const Timing begin =
      time_it(std::max(3, o.runs / 5), [&](int) { pipeline->begin(conditioning); });
  const auto step = [&](int i) { pipeline->velocity(i % pipeline->steps(), noise); };
  const Timing step_time = time_it(o.runs, step);
  const Timing decode = time_it(std::max(3, o.runs / 5), [&](int) { pipeline->decode(noise); });
  const Timing whole = time_it(std::max(3, o.runs / 10), [&](int) {
    decoded = pipeline->decode(pipeline->denoise(pipeline->encode(prompts), noise));
  });

  auto components = pipeline->components();
  Component* denoiser = components.front().second;
  denoiser->set_profiling(true);
  for (int i = 0; i < o.runs; ++i) step(i);
  const std::vector<Row> rows = by_kernel(denoiser->profile());
  size_t resident = 0;
  for (const auto& [name, component] : components) resident += component->resident_bytes();

  const int threads = thread_count();
  fmt::print("{} · {} · batch {} · {} threads\n", o.model, precision.name, o.batch, threads);
  const auto line = [](const char* what, const Timing& t) {
    fmt::print("{:28s} {:9.3f} ms   [{:.3f}, {:.3f}]\n", what, t.median * 1e3, t.low * 1e3,
               t.high * 1e3);
  };
  line("step (guided)", step_time);
  line("begin (request + schedule)", begin);
  line("decode", decode);
  line(fmt::format("prompt to picture, {} steps", pipeline->steps()).c_str(), whole);
  fmt::print("{:28s} {:9.3f} ms\n", "first picture, with planning", first * 1e3);
  fmt::print("{:28s} {}   process peak {}\n\n", "weights and buffers",
             human_bytes(static_cast<double>(resident)),
             human_bytes(static_cast<double>(peak_resident_bytes())));
  print_rows(rows, o.runs, static_cast<size_t>(o.rows));
  if (o.json.empty()) return;
  const nlohmann::ordered_json json{{"version", OCTAVO_VERSION},
                                    {"model", o.model},
                                    {"precision", precision.name},
                                    {"batch", o.batch},
                                    {"threads", threads},
                                    {"step", to_json(step_time)},
                                    {"begin", to_json(begin)},
                                    {"decode", to_json(decode)},
                                    {"picture", to_json(whole)},
                                    {"first_picture_ms", first * 1e3},
                                    {"resident_bytes", resident},
                                    {"peak_bytes", peak_resident_bytes()},
                                    {"ops", rows_json(rows, o.runs)}};
  write_file(o.json, json.dump(1) + "\n");
}

}  // namespace

void add_bench(CLI::App& app) {
  auto* verb = app.add_subcommand("bench",
                                  "Time a denoising step and its ops: medians of warm runs with "
                                  "quartiles, a table of what each\n"
                                  "kernel takes and reaches, and the memory peak.");
  auto o = std::make_shared<Options>();
  verb->add_option("MODEL", o->model, "Model folder or artifact")->required();
  verb->add_option("--precision", o->precision, "f32, bf16, a scheme's name, or an artifact's path")
      ->capture_default_str();
  add_device_option(*verb, o->device);
  verb->add_option("--batch", o->batch, "Pictures at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  verb->add_option("--runs", o->runs, "Timed steps")
      ->check(CLI::Range(5, 100000))
      ->capture_default_str();
  verb->add_option("--rows", o->rows, "Rows of the op table")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  verb->add_flag("--no-hoist", o->no_hoist, "Run request- and schedule-rate parts in every step");
  verb->add_option("--json", o->json, "Write the figures to this file");
  verb->callback([o] { run(*o); });
}

}  // namespace octavo::cli
