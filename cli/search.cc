// octavo search MODEL: the recipe of the least bytes or time that keeps a promise.
#include <fmt/format.h>

#include <filesystem>

#include "base/atomic_file.h"
#include "base/check.h"
#include "common.h"
#include "quant/calibrate.h"
#include "quant/search/search.h"
#include "verb.h"

namespace octavo::cli {
namespace {

// Those that come with a bound on pictures, and those that only have to be fast.
constexpr const char* kCandidates =
    "w=i4/1x64/static/f16 round=gptq, w=i5/1x64/static/f16 round=gptq, "
    "w=i6/1x64/static/f16 round=gptq, w=i8/1x64/static/f16";
constexpr const char* kFastCandidates = "keep, int8dq, fp8dq, int8wo, int4wo";

struct Options {
  std::string model, prompts = "known", keep, minimize = "bytes", candidates, stats, output, html,
                     state, compute = "f32", device = "cpu";
  std::vector<std::string> layers;
  uint64_t seed = 0;
  size_t searched = 16, verified = 64;
  int steps = 0, batch = 8, rounds = 4;
};

std::vector<std::string> find_prompts(const std::string& what, const ModelSource& model) {
  if (what != "known" && what != "novel") return read_prompts(what);
  const std::vector<std::string> prompts = model.prompts(what);
  OCTAVO_CHECK(!prompts.empty(), "{} comes without {} prompts; give --prompts FILE", model.where(),
               what);
  return prompts;
}

// The file that was named, or those of a calibration that is kept beside the recipe.
std::shared_ptr<const Stats> find_stats(const Options& o, const ModelSource& model) {
  if (!o.stats.empty()) return std::make_shared<const Stats>(Stats::load(o.stats));
  const std::string path = o.output + ".stats.safetensors";
  if (std::filesystem::exists(path)) return std::make_shared<const Stats>(Stats::load(path));
  CalibrateOptions options;
  options.prompts = calibration_prompts(model);
  options.device = open_device(o.device);
  options.compute = parse_compute(o.compute);
  options.checkpoint = path + ".partial";
  const auto stats = std::make_shared<const Stats>(calibrate(model, options));
  stats->save(path);
  std::filesystem::remove(options.checkpoint);
  fmt::print("calibrated: {}\n", path);
  return stats;
}

SearchOptions search_options(const Options& o, const ModelSource& model) {
  SearchOptions options;
  if (!o.keep.empty()) options.promise = Promise::parse(o.keep);
  options.objective = parse_objective(o.minimize);
  const bool fast = !options.promise && options.objective == Objective::latency;
  options.candidates = parse_candidates(!o.candidates.empty() ? o.candidates
                                        : fast                ? kFastCandidates
                                                              : kCandidates);
  options.layers = o.layers;
  options.searched = o.searched;
  options.verified = o.verified;
  options.rounds = o.rounds;
  options.run.seed = o.seed;
  options.run.steps = o.steps;
  options.run.batch = o.batch;
  options.run.device = open_device(o.device);
  options.run.compute = parse_compute(o.compute);
  options.state = o.state;
  check_request(options);
  if (options.promise) {
    options.prompts = find_prompts(o.prompts, model);
    // Before a calibration, which takes long.
    PromptPool(options.prompts, {}, options.searched, options.verified);
  }
  return options;
}

void run(const Options& o) {
  for (const std::string& file : {o.output, o.html, o.state})
    if (!file.empty()) check_output(file);
  const auto model = open_model(o.model);
  SearchOptions options = search_options(o, *model);
  if (options.promise || needs_statistics(options.candidates))
    options.stats = find_stats(o, *model);
  const SearchResult result = search(model, options);
  fmt::print("{}", summary(options, result));
  if (!o.html.empty()) {
    write_file(o.html, to_html(o.model, options, result));
    fmt::print("report: {}\n", o.html);
  }
  if (!result.recipe) throw VerbFailed{};
  write_file(o.output, result.recipe->text());
  fmt::print("{}: use it with octavo quantize {} --recipe {}{}\n", o.output, o.model, o.output,
             !needs_statistics(*result.recipe) ? ""
             : o.stats.empty() ? fmt::format(" --stats {}.stats.safetensors", o.output)
                               : " --stats " + o.stats);
}

void add_files(CLI::App& verb, Options& o) {
  verb.add_option("-o,--output", o.output, "Recipe to write")->required();
  verb.add_option("--report,--html", o.html, "Write the report to this file (opens offline)");
  verb.add_option("--state", o.state,
                  "Measurements are kept in this file; the same command goes on from it");
  verb.add_option("--stats", o.stats,
                  "Calibration statistics; without it they are made and kept as "
                  "OUTPUT.stats.safetensors");
}

void add_amounts(CLI::App& verb, Options& o) {
  verb.add_option("--search-prompts", o.searched, "Pictures that layers are measured on")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  verb.add_option("--verify-prompts", o.verified, "Other pictures, of each verification")
      ->check(CLI::Range(4, 100000))
      ->capture_default_str();
  verb.add_option("--rounds", o.rounds, "Of choosing and verifying, at most")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  verb.add_option("--seed", o.seed, "Picture i starts from seed + i")->capture_default_str();
  verb.add_option("--steps", o.steps, "Denoising steps (default: the pipeline's)")
      ->check(CLI::Range(1, 1000));
  verb.add_option("--batch", o.batch, "Pictures at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  verb.add_option("--compute", o.compute, "f32 or bf16: arithmetic of what is not quantized")
      ->capture_default_str();
  add_device_option(verb, o.device);
}

}  // namespace

void add_search(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "search",
      "Choose a scheme for each layer: the fewest bytes, or the least time on this device, that\n"
      "keep a promise about the pictures, measured with the model's own sampler on prompts that\n"
      "were not searched on (the interval's lower end counts). Says which layers make it\n"
      "impossible where it is, with exit code 1. Of latency without --keep: the fastest kernel of\n"
      "each layer.");
  auto o = std::make_shared<Options>();
  verb->add_option("MODEL", o->model, "Model folder")->required();
  verb->add_option("--keep", o->keep, "The promise: psnr>=DB, mean over decoded pictures");
  verb->add_option("--minimize,--objective", o->minimize, "bytes or latency")
      ->capture_default_str();
  verb->add_option("--prompts", o->prompts, "known, novel, or a file, one prompt a line")
      ->capture_default_str();
  verb->add_option("--candidates", o->candidates,
                   fmt::format("What a layer may become: SCHEME WORDS, SCHEME WORDS, ..., keep\n"
                               "(default: {};\nof latency alone: {})",
                               kCandidates, kFastCandidates));
  verb->add_option("--layers", o->layers,
                   "Globs over component/layer (default: the transformer's, but for those that\n"
                   "named schemes leave in float)");
  add_files(*verb, *o);
  add_amounts(*verb, *o);
  verb->callback([o] { run(*o); });
}

}  // namespace octavo::cli
