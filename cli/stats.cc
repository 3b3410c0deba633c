// octavo stats show | diff | merge: what a calibration recorded.
#include <fmt/format.h>

#include "base/check.h"
#include "common.h"
#include "quant/stats_diff.h"
#include "verb.h"

namespace octavo::cli {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string layer = "*", output;
  bool steps = false;
  double tolerance = -1;
  size_t most = 20;
};

void show(const Options& o) { fmt::print("{}", Stats::load(o.files[0]).text(o.layer, o.steps)); }

void diff(const Options& o) {
  const Stats a = Stats::load(o.files[0]), b = Stats::load(o.files[1]);
  if (a.model_hash != b.model_hash) {
    fmt::print("models differ: {} and {}\n", a.model_hash, b.model_hash);
  }
  if (a.schedule != b.schedule) {
    fmt::print("schedules differ: {} and {}\n", a.schedule, b.schedule);
  }
  const std::vector<StatsDifference> layers = diff_stats(a, b, o.layer);
  OCTAVO_CHECK(!layers.empty(), "no layer of {} or {} matches '{}'", o.files[0], o.files[1],
               o.layer);
  fmt::print("{:<52} {:>9} {:>4} {:>9} {:>9}\n", "layer", "range", "at", "mean", "moment");
  size_t failed = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    const StatsDifference& d = layers[i];
    const bool ok = d.only.empty() && (o.tolerance < 0 || d.largest() <= o.tolerance);
    failed += ok ? 0 : 1;
    if (i >= o.most) continue;
    if (!d.only.empty()) {
      fmt::print("{:<52} {}\n", d.layer, d.only.size() == 1 ? "only in " + d.only : d.only);
    } else {
      fmt::print("{:<52} {:>9.3g} {:>4} {:>9.3g} {:>9.3g}{}\n", d.layer, d.range,
                 d.step < 0 ? "-" : std::to_string(d.step), d.mean, d.moment,
                 ok ? "" : "  TOO LARGE");
    }
  }
  if (layers.size() > o.most) fmt::print("... and {} layers more\n", layers.size() - o.most);
  if (failed > 0) throw VerbFailed{};
}

void merge(const Options& o) {
  check_output(o.output);
  Stats merged = Stats::load(o.files[0]);
  for (size_t i = 1; i < o.files.size(); ++i) {
    try {
      merged.merge(Stats::load(o.files[i]));
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}: {}", o.files[i], error.what()));
    }
  }
  merged.save(o.output);
  fmt::print("{}: {} layers, {} prompts, hash {}\n", o.output, merged.layers.size(),
             merged.prompts.size(), merged.hash());
}

}  // namespace

void add_stats(CLI::App& app) {
  auto* verb = app.add_subcommand("stats", "Look at, compare and merge statistics of calibrations");
  verb->require_subcommand(1);
  auto o = std::make_shared<Options>();
  const auto add_layer = [&](CLI::App& sub) {
    sub.add_option("--layer", o->layer, "Only layers whose name matches this glob")
        ->capture_default_str();
  };
  auto* shown = verb->add_subcommand("show", "A line a layer: ranges, quantiles, counts");
  shown->add_option("STATS", o->files, "Stats file")->required()->expected(1);
  add_layer(*shown);
  shown->add_flag("--steps", o->steps, "And a line a denoising step");
  shown->callback([o] { show(*o); });

  auto* compared = verb->add_subcommand(
      "diff",
      "Layers whose channel ranges, means and second moments differ most, relative to the layer.\n"
      "Exit code 1 when a layer is in one file only, or over --tolerance.");
  compared->add_option("STATS", o->files, "Two stats files")->required()->expected(2);
  add_layer(*compared);
  compared->add_option("--tolerance", o->tolerance, "Largest relative difference allowed");
  compared->add_option("--most", o->most, "Lines to print")->capture_default_str();
  compared->callback([o] { diff(*o); });

  auto* merged = verb->add_subcommand(
      "merge", "Adds up calibrations of one model on different prompts, in any order, exactly");
  merged->add_option("STATS", o->files, "Stats files")->required()->expected(2, 1 << 16);
  merged->add_option("-o,--output", o->output, "Stats file to write")->required();
  merged->callback([o] { merge(*o); });
}

}  // namespace octavo::cli
