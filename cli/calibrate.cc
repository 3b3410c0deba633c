// octavo calibrate MODEL: statistics of every layer's input, per denoising step.
#include <fmt/format.h>

#include <algorithm>

#include "base/atomic_file.h"
#include "common.h"
#include "quant/calibrate.h"
#include "verb.h"

namespace octavo::cli {
namespace {

struct Options {
  std::string model, prompts, output, text, compute = "f32", device = "cpu";
  uint64_t seed = 0, memory = CalibrateOptions{}.memory;
  int batch = 4, steps = 0;
  Sampling sampling;
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
  options.sampling = o.sampling;
  options.memory = static_cast<int64_t>(std::min<uint64_t>(o.memory, INT64_MAX));
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
      "ranges and means of channels, histogram, non-finite count and some rows per denoising "
      "step,\n"
      "and second moments (octavo stats show, diff and merge read them).\n"
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
  verb->add_option("--rows", o->sampling.rows, "Rows kept of a linear layer's input, a step")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  verb->add_option("--moment-stride", o->sampling.moment_stride,
                   "One row in so many enters the second moments; 0: none are kept")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  verb->add_option("--memory", o->memory,
                   "Bytes for rows and second moments (2G); what does not fit takes more passes")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  verb->add_option("--text", o->text, "Also write a readable table");
  verb->callback([o] { run(*o); });
}

}  // namespace octavo::cli
