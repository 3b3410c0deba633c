// octavo quantize MODEL: a model in fewer bits, in one file.
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/atomic_file.h"
#include "base/check.h"
#include "common.h"
#include "quant/calibrate.h"
#include "quant/quantize_model.h"
#include "verb.h"

namespace octavo::cli {
namespace {

struct Options {
  std::string model, scheme, recipe, stats, output;
  bool every_layer = false, dry_run = false;
};

Recipe choose_recipe(const Options& o, const ModelSource& model) {
  OCTAVO_CHECK(o.scheme.empty() != o.recipe.empty(), "give one of --scheme NAME and --recipe FILE");
  if (!o.recipe.empty()) return Recipe::parse(read_file(o.recipe, 16 << 20), o.recipe);
  return Recipe::for_scheme(o.scheme, model);
}

// The stats file, or a calibration on the model's own prompts when a layer needs static scales.
std::optional<Stats> find_stats(const Options& o, const ModelSource& model,
                                const Coverage& coverage) {
  if (!o.stats.empty()) return Stats::load(o.stats);
  const bool needed = std::any_of(coverage.rows.begin(), coverage.rows.end(), [](const auto& row) {
    return row.scheme && row.scheme->activation &&
           row.scheme->activation->timing == QuantSpec::Timing::static_;
  });
  if (!needed) return std::nullopt;
  CalibrateOptions options;
  options.prompts = calibration_prompts(model);
  options.checkpoint = o.output + ".calibration.partial";
  Stats stats = calibrate(model, options);
  std::filesystem::remove(options.checkpoint);
  return stats;
}

void run(const Options& o) {
  if (!o.dry_run) {
    OCTAVO_CHECK(!o.output.empty(), "name the file to write: -o OUT.safetensors");
    check_output(o.output);
  }
  const auto model = open_model(o.model);
  const Recipe recipe = choose_recipe(o, *model);
  const Coverage coverage = cover(recipe, *model);
  fmt::print("{}", describe(coverage, o.every_layer));
  if (o.dry_run) return;
  const std::optional<Stats> stats = find_stats(o, *model, coverage);
  quantize_model(model, recipe, stats ? &*stats : nullptr, o.output);
  fmt::print("{}: {}\n", o.output,
             human_bytes(static_cast<double>(std::filesystem::file_size(o.output))));
}

std::string scheme_help() {
  std::string text = "Schemes:\n";
  for (const NamedScheme& s : scheme_table())
    text += fmt::format("  {:14s} {}\n", s.name, s.meaning);
  return text;
}

}  // namespace

void add_quantize(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "quantize",
      "Write a quantized model: one safetensors file with everything needed to run it.\n"
      "A scheme quantizes the transformer's blocks; a recipe says what to do with each layer of\n"
      "any component. Static schemes without --stats calibrate first, on the model's prompts.");
  auto o = std::make_shared<Options>();
  verb->add_option("MODEL", o->model, "Model folder")->required();
  verb->add_option("--scheme", o->scheme, "A scheme's name, or \"w=SPEC a=SPEC\"");
  verb->add_option("--recipe", o->recipe, "Recipe file: lines of PATTERN SCHEME|keep");
  verb->add_option("--stats", o->stats, "Calibration statistics (octavo calibrate)");
  verb->add_option("-o,--output", o->output, "File to write (.safetensors)");
  verb->add_flag("--layers", o->every_layer, "List every layer, not a summary");
  verb->add_flag("--dry-run", o->dry_run, "Only show what would be quantized");
  verb->footer(scheme_help());
  verb->callback([o] { run(*o); });
}

}  // namespace octavo::cli
