// octavo quantize MODEL: a model in fewer bits, in one file.
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/atomic_file.h"
#include "base/check.h"
#include "common.h"
#include "quant/calibrate.h"
#include "quant/named_recipes.h"
#include "quant/quantize_model.h"
#include "tensor/quantize.h"
#include "verb.h"

namespace octavo::cli {
namespace {

struct Options {
  std::string model, scheme, recipe, pin, stats, output;
  bool every_layer = false, dry_run = false;
};

Recipe choose_recipe(const Options& o, const ModelSource& model) {
  OCTAVO_CHECK(o.scheme.empty() != o.recipe.empty(), "give one of --scheme NAME and --recipe FILE");
  Recipe recipe =
      o.recipe.empty() ? Recipe::for_scheme(o.scheme, model) : find_recipe(o.recipe, model);
  if (o.pin.empty()) return recipe;
  recipe = pin_blocks(std::move(recipe), model, Pins::parse(o.pin));
  for (const RecipeRule& rule : recipe.rules) {
    if (rule.note.starts_with("pinned")) fmt::print("{}  keep  # {}\n", rule.pattern, rule.note);
  }
  return recipe;
}

// The stats file, or a calibration on the model's own prompts when a layer needs static scales.
std::optional<Stats> find_stats(const Options& o, const ModelSource& model, const Recipe& recipe) {
  if (!o.stats.empty()) return Stats::load(o.stats);
  if (!needs_statistics(recipe)) return std::nullopt;
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
  const std::optional<Stats> stats = find_stats(o, *model, recipe);
  quantize_model(model, recipe, stats ? &*stats : nullptr, o.output);
  fmt::print("{}: {}\n", o.output,
             human_bytes(static_cast<double>(std::filesystem::file_size(o.output))));
}

std::string scheme_help() {
  constexpr int64_t kWidth = 4096;
  std::string text =
      fmt::format("Schemes, with bits a weight of [{0}, {0}], scales included:\n", kWidth);
  for (const NamedScheme& s : scheme_table())
    text += fmt::format("  {:12s} {:5.2f}  {}\n", s.name,
                        bits_per_value(s.scheme.weight, kWidth, kWidth), s.meaning);
  text += "Schemes of attention, in recipes or behind a layer's (fp8+attn-fp8):\n";
  for (const NamedAttentionScheme& s : attention_scheme_table())
    text += fmt::format("  {:14s} {}\n", s.name, s.meaning);
  text += "Recipes by name (of the transformer; Model-Optimizer's levels):\n";
  for (const NamedRecipe& r : named_recipe_table())
    text += fmt::format("  {:14s} {}\n", r.name, r.meaning);
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
  verb->add_option("--scheme", o->scheme,
                   "A scheme's name, or \"w=SPEC a=SPEC\", and attention's behind a plus");
  verb->add_option("--recipe", o->recipe,
                   "Recipe file: lines of PATTERN SCHEME|keep; or a recipe's name");
  verb->add_option("--pin", o->pin,
                   "Blocks to keep in float: first=N, last=N or both (first=1,last=1)");
  verb->add_option("--stats", o->stats, "Calibration statistics (octavo calibrate)");
  verb->add_option("-o,--output", o->output, "File to write (.safetensors)");
  verb->add_flag("--layers", o->every_layer, "List every layer, not a summary");
  verb->add_flag("--dry-run", o->dry_run, "Only show what would be quantized");
  verb->footer(scheme_help());
  verb->callback([o] { run(*o); });
}

}  // namespace octavo::cli
