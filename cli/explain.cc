// octavo explain ARTIFACT: what quantization did to each layer.
#include <fmt/format.h>

#include "base/atomic_file.h"
#include "base/check.h"
#include "common.h"
#include "quant/explain/explain.h"
#include "verb.h"

namespace octavo::cli {
namespace {

struct Options {
  std::string artifact, reference, stats, prompts, html, state, device = "cpu";
  uint64_t seed = 0;
  size_t count = 8;
  int steps = 0, batch = 8;
  bool no_words = false;
};

void run(const Options& o) {
  for (const std::string& file : {o.html, o.state})
    if (!file.empty()) check_output(file);
  ExplainOptions options;
  options.artifact = o.artifact;
  if (!o.reference.empty()) options.reference = open_model(o.reference);
  if (!o.stats.empty()) options.stats = std::make_shared<const Stats>(Stats::load(o.stats));
  if (!o.prompts.empty()) {
    OCTAVO_CHECK(options.reference,
                 "--prompts measures against the model that {} was made from; name it with "
                 "--reference",
                 o.artifact);
    const bool own = o.prompts == "known" || o.prompts == "novel";
    options.prompts =
        own ? spread(options.reference->prompts(o.prompts), o.count) : read_prompts(o.prompts);
  }
  options.words = !o.no_words;
  options.run.seed = o.seed;
  options.run.steps = o.steps;
  options.run.batch = o.batch;
  options.run.device = open_device(o.device);
  options.state = o.state;
  const Explanation explanation = explain(options);
  fmt::print("{}", summary(explanation));
  if (o.html.empty()) return;
  write_file(o.html, to_html(explanation));
  fmt::print("report: {}\n", o.html);
}

}  // namespace

void add_explain(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "explain",
      "Say of each layer of a quantized model how it is stored, what its rounding lost, which\n"
      "share of the final error is its, which channels of its input stand out, and what each word\n"
      "of the recipe bought (the layer is solved again without it).");
  auto o = std::make_shared<Options>();
  verb->add_option("ARTIFACT", o->artifact, "What octavo quantize wrote")->required();
  verb->add_option("--reference", o->reference, "The model that it was made from: errors");
  verb->add_option("--stats", o->stats, "Calibration statistics: output errors, outliers, ranges");
  verb->add_option("--prompts", o->prompts,
                   "known, novel, or a file: measure each layer's share of the error, one run a "
                   "layer");
  verb->add_option("--count", o->count, "Prompts taken of known or novel")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  verb->add_flag("--no-words", o->no_words, "Do not solve layers again without each word");
  verb->add_option("-o,--html", o->html, "Write the report to this file (opens offline)");
  verb->add_option("--state", o->state,
                   "Measurements are kept in this file; the same command goes on from it");
  verb->add_option("--seed", o->seed, "Picture i starts from seed + i")->capture_default_str();
  verb->add_option("--steps", o->steps, "Denoising steps (default: the pipeline's)")
      ->check(CLI::Range(1, 1000));
  verb->add_option("--batch", o->batch, "Pictures at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  add_device_option(*verb, o->device);
  verb->callback([o] { run(*o); });
}

}  // namespace octavo::cli
