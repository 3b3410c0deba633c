// octavo calibrate MODEL: statistics of every layer's input, per denoising step.
#include <fmt/format.h>

#include "base/atomic_file.h"
#include "common.h"
#include "quant/calibrate.h"
#include "verb.h"

namespace octavo::cli {
namespace {

struct Options {
  std::string model, prompts, output, text, compute = "f32", device = "cpu";
  uint64_t seed = 0;
  int batch = 4, steps = 0;
  std::vector<std::string> components;
};

void run(const Options& o) {
  check_output(o.output);
  if (!o.text.empty()) check_output(o.text);
  const auto model = open_model(o.model);
  CalibrateOptions options;
  options.prompts = o.prompts.empty() ? calibration_prompts(*model) : read_prompts(o.prompts);
  options.seed = o.seed;
  options.batch = o.batch;
  options.steps = o.steps;
  options.components = o.components;
  options.device = open_device(o.device);
  options.compute = parse_compute(o.compute);
  options.checkpoint = o.output + ".partial";
  const Stats stats = calibrate(*model, options);
  stats.save(o.output);
  std::filesystem::remove(options.checkpoint);
  if (!o.text.empty()) write_file(o.text, stats.text());
  fmt::print("{}: {} layers, {} prompts, hash {}\n", o.output, stats.layers.size(),
             stats.prompts.size(), stats.hash());
}

}  // namespace

void add_calibrate(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "calibrate",
      "Run the model's own pipeline over prompts and record what each layer is fed:\n"
      "absmax, per-channel absmax, histogram and non-finite count, per denoising step.\n"
      "An interrupted run goes on where it stopped when the same command is given again.");
  auto o = std::make_shared<Options>();
  verb->add_option("MODEL", o->model, "Model folder")->required();
  verb->add_option("-o,--output", o->output, "Stats file to write (.safetensors)")->required();
  verb->add_option("--prompts", o->prompts, "File, one prompt a line (default: 32 of the model's)");
  verb->add_option("--seed", o->seed, "Prompt i starts from noise of seed + i")
      ->capture_default_str();
  verb->add_option("--compute", o->compute, "f32 or bf16: arithmetic of the run that is observed")
      ->capture_default_str();
  add_device_option(*verb, o->device);
  verb->add_option("--batch", o->batch, "Pictures at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  verb->add_option("--steps", o->steps, "Denoising steps (default: the pipeline's)")
      ->check(CLI::Range(1, 1000));
  verb->add_option("--component", o->components, "Only these (transformer, vae, text_encoder)");
  verb->add_option("--text", o->text, "Also write a readable table");
  verb->callback([o] { run(*o); });
}

}  // namespace octavo::cli
