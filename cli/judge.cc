// octavo judge REF TEST: what quantization cost under the model's own sampler, and a verdict.
#include <fmt/format.h>

#include "base/atomic_file.h"
#include "common.h"
#include "judge/judge.h"
#include "verb.h"

namespace octavo::cli {
namespace {

struct Options {
  std::string reference, test, prompts, gate, json, html, compute, rng = "torch", device = "cpu";
  uint64_t seed = 0;
  int per_set = 64, seeds = 1, steps = 0, batch = 8, pictures = 8;
  double epsilon = 1e-3;
  bool no_floors = false;
};

JudgeOptions judge_options(const Options& o, const ModelSource& reference) {
  JudgeOptions options;
  options.seed = o.seed;
  options.seeds_per_prompt = o.seeds;
  options.steps = o.steps;
  options.batch = o.batch;
  options.floors = !o.no_floors;
  options.epsilon = o.epsilon;
  options.rng = parse_rng(o.rng);
  options.pictures = o.pictures;
  options.device = open_device(o.device);
  options.compute = parse_compute(o.compute.empty() ? "f32" : o.compute);
  if (!o.prompts.empty()) {
    options.prompt_sets.emplace_back("given", read_prompts(o.prompts));
    return options;
  }
  for (const char* set : {"known", "novel"}) {
    const auto prompts = reference.prompts(set);
    if (!prompts.empty())
      options.prompt_sets.emplace_back(set, spread(prompts, static_cast<size_t>(o.per_set)));
  }
  return options;
}

void run(const Options& o) {
  for (const std::string& file : {o.json, o.html})
    if (!file.empty()) check_output(file);
  const Gate gate =
      o.gate.empty() ? Gate::defaults() : Gate::parse(read_file(o.gate, 1 << 20), o.gate);
  const auto reference = open_model(o.reference), test = open_model(o.test);
  Report report = judge(*reference, *test, judge_options(o, *reference));
  apply_gate(gate, report);
  fmt::print("{}", summary(report));
  if (!o.json.empty()) write_file(o.json, to_json(report));
  if (!o.html.empty()) {
    write_file(o.html, to_html(report));
    fmt::print("report: {}\n", o.html);
  }
  if (!report.passed()) throw VerbFailed{};
}

}  // namespace

void add_judge(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "judge",
      "Run both models from the same noise with the model's own sampler and report what the "
      "second\n"
      "one lost: x0 error per step (teacher-forced and free-running), decoded PSNR and SSIM with\n"
      "confidence intervals, beside two floors (noise perturbed by epsilon; bf16 arithmetic).\n"
      "Exit code 1 when a rule of the gate is missed.");
  auto o = std::make_shared<Options>();
  verb->add_option("REFERENCE", o->reference, "Model folder or artifact")->required();
  verb->add_option("TEST", o->test, "Model folder or artifact")->required();
  verb->add_option("--prompts", o->prompts,
                   "File, one prompt a line (default: the model's known and novel sets)");
  verb->add_option("--per-set", o->per_set, "Prompts taken of each of the model's sets")
      ->check(CLI::Range(2, 100000))
      ->capture_default_str();
  verb->add_option("--seed", o->seed, "Picture i starts from seed + i")->capture_default_str();
  verb->add_option("--seeds", o->seeds, "Pictures a prompt")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  verb->add_option("--gate", o->gate,
                   "Rules `SET FIGURE >=|<= VALUE` (default: psnr.mean >= 30, ssim.mean >= 0.90)");
  verb->add_option("--json", o->json, "Write all figures to this file");
  verb->add_option("--html", o->html, "Write the report to this file (opens offline)");
  verb->add_option("--steps", o->steps, "Denoising steps (default: the pipeline's)")
      ->check(CLI::Range(1, 1000));
  verb->add_option("--epsilon", o->epsilon, "Of the perturbed-noise floor")
      ->check(CLI::Range(1e-7, 1.0))
      ->capture_default_str();
  verb->add_flag("--no-floors", o->no_floors, "Leave the floors out: half the time");
  verb->add_option("--rng", o->rng, "torch or philox")->capture_default_str();
  verb->add_option("--compute", o->compute,
                   "f32 (default) or bf16: arithmetic of what TEST does not quantize; REFERENCE "
                   "stays in f32");
  add_device_option(*verb, o->device);
  verb->add_option("--batch", o->batch, "Pictures at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  verb->add_option("--pictures", o->pictures, "Worst pictures of each set in the report")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  verb->callback([o] { run(*o); });
}

}  // namespace octavo::cli
