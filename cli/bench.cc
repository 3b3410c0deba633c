// octavo bench MODEL: where the time of a denoising step goes.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/threads.h"
#include "bench_random.h"
#include "bench_start.h"
#include "bench_table.h"
#include "common.h"
#include "octavo/version.h"
#include "random_artifact.h"
#include "sample/rng.h"
#include "verb.h"

namespace octavo::cli {
namespace {

struct Options {
  bool random = false, start = false;
  std::vector<std::string> extents;
  std::string model, precision = "f32", compute, json, prompt = "a picture", device = "cpu", write;
  int batch = 1, runs = 30, rows = 20;
  bool no_hoist = false;
};

void run(const Options& o) {
  if (!o.json.empty()) check_output(o.json);
  OCTAVO_CHECK(o.write.empty() || o.random, "--write FILE writes random weights: --random");
  if (!o.write.empty()) {
    check_output(o.write);
    return write_random_artifact(o.model, o.precision, o.write);
  }
  if (o.start) return bench_start({o.model, o.compute, o.device, o.json, o.extents, o.batch});
  if (o.random) {
    return bench_random(
        {o.model, o.precision, o.compute, o.device, o.json, o.extents, o.batch, o.runs, o.rows});
  }
  const Precision precision = open_at_precision(o.model, o.precision, o.compute);
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
  const Timing loop_time = timing_of(pipeline->time_loops(noise, std::max(5, o.runs / 5)));
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
  const std::string_view compute = name(precision.compute);
  fmt::print("{} · {} in {} · batch {} · {} threads\n", o.model, precision.name, compute, o.batch,
             threads);
  print_timing("step (guided), of a loop", loop_time);
  print_timing("step (guided), by itself", step_time);
  print_timing("begin (request + schedule)", begin);
  print_timing("decode", decode);
  print_timing(fmt::format("prompt to picture, {} steps", pipeline->steps()), whole);
  fmt::print("{:28s} {:9.3f} ms\n", "first picture, with planning", first * 1e3);
  fmt::print("{:28s} {}   process peak {}\n\n", "weights and buffers",
             human_bytes(static_cast<double>(resident)),
             human_bytes(static_cast<double>(peak_resident_bytes())));
  print_rows(rows, o.runs, static_cast<size_t>(o.rows));
  if (o.json.empty()) return;
  const nlohmann::ordered_json json{{"version", OCTAVO_VERSION},
                                    {"model", o.model},
                                    {"precision", precision.name},
                                    {"compute", compute},
                                    {"batch", o.batch},
                                    {"threads", threads},
                                    {"loop_step", to_json(loop_time)},
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
  verb->add_option("MODEL,--model", o->model, "Model folder or artifact; with --random a name")
      ->required();
  verb->add_flag(
      "--random", o->random,
      "A published transformer (flux.1-dev, flux.1-schnell) at its real size with random\n"
      "weights, made in memory: times its step and a whole loop");
  verb->add_option("--write", o->write,
                   "With --random: no timing, but an artifact of these weights in this file");
  verb->add_flag("--start", o->start,
                 "A transformer alone (an artifact, a component's folder): what it takes from the\n"
                 "file to the first step, beside what the file takes over the link to the device");
  verb->add_option(
      "--extent", o->extents,
      "With --random or --start: numbers of tokens, such as S=4096 T=512 (the default: 1024x1024)");
  verb->add_option("--precision", o->precision,
                   "f32, bf16, a scheme's name (attention's behind a plus: fp8+attn-fp8), or an\n"
                   "artifact's path")
      ->capture_default_str();
  add_compute_option(*verb, o->compute, "bf16 with --random, else f32");
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
