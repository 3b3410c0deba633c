// The estimator against brute force: what it says of single layers and of mixed recipes, and what
// the pictures say. Prints the figures that docs/quantization.md quotes.
#include <algorithm>
#include <cstdio>
#include <numeric>

#include "base/progress.h"
#include "quant/calibrate.h"
#include "quant/mixed_model.h"
#include "quant/quantize_model.h"
#include "quant/search/search.h"
#include "quant/zoo.h"

namespace octavo {
namespace {

using test::zoo;

std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> rank(values.size());
  for (size_t i = 0; i < order.size(); ++i) rank[order[i]] = static_cast<double>(i);
  return rank;
}

// Spearman's, no ties.
double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const std::vector<double> x = ranks(a), y = ranks(b);
  const auto n = static_cast<double>(a.size());
  double squares = 0;
  for (size_t i = 0; i < x.size(); ++i) squares += (x[i] - y[i]) * (x[i] - y[i]);
  return 1 - 6 * squares / (n * (n * n - 1));
}

TEST(Ranking, OfTheEstimatorIsThatOfBruteForce) {
  set_progress_enabled(false);
  CalibrateOptions calibration;
  calibration.prompts = {"ghost", "tiger", "banana", "crown"};
  calibration.steps = 10;
  calibration.components = {"transformer"};
  const auto stats = std::make_shared<const Stats>(calibrate(*zoo(), calibration));
  const auto candidates = parse_candidates(
      "w=i4/1x64/static/f16, w=i4/1x64/static/f16 round=gptq, w=i8/1x64/static/f16, "
      "w=i8/1x*/static/f32 a=i8/*x*/static/f32");
  const std::vector<SearchedLayer> layers =
      list_layers(*zoo(), candidates,
                  {"transformer/transformer_blocks.1.*", "transformer/single*.1.*"})
          .layers;
  ASSERT_GE(layers.size(), 12u);
  PictureRun run;
  run.steps = 10;
  const ReferencePictures pictures(*zoo(), {"rocket", "pizza", "violin", "dog"}, run);
  const SensitivityProblem problem{zoo(), stats, layers, candidates};
  Measurements none("", {});
  Sensitivity s = estimate_layers(problem, none);
  measure_layers(problem, pictures, none, s);

  std::vector<double> said, seen;  // of mixed recipes, dB
  test::Random random(9);
  for (int i = 0; i < 16; ++i) {
    std::vector<size_t> choice;
    // From nearly all in four bits to nearly all in eight.
    for (const SearchedLayer& layer : layers) {
      choice.push_back(random.uniform(0, 16) < static_cast<float>(i)
                           ? 2
                           : layer.possible[static_cast<size_t>(
                                 random.below(static_cast<int64_t>(layer.possible.size())))]);
    }
    said.push_back(mean_psnr(s.predict(layers, choice)));
    seen.push_back(mean_psnr(pictures.errors(
        *quantized_view(zoo(), recipe_of(layers, candidates, choice, "mixed"), stats.get()))));
  }
  const double mixed = rank_correlation(said, seen);
  double worst = 0;
  for (size_t i = 0; i < said.size(); ++i) worst = std::max(worst, std::abs(said[i] - seen[i]));

  std::vector<double> local_said, local_seen;  // of layers under candidates not measured
  const auto references = s.references(layers);
  for (size_t c = 0; c < candidates.size(); ++c) {
    const std::vector<size_t> all(layers.size(), c);
    const auto view = quantized_view(zoo(), recipe_of(layers, candidates, all, "all"), stats.get());
    for (size_t l = 0; l < layers.size(); l += 3) {
      if (references[l] == c) continue;
      const LayerSensitivity& layer = s.layers[l];
      local_said.push_back(
          mean_psnr(layer.picture_errors) -
          10 * std::log10(layer.figures[c].error / layer.figures[layer.reference].error));
      const std::string name = layers[l].name();
      local_seen.push_back(mean_psnr(pictures.errors(
          *mixed_model(zoo(), view, [&](const std::string& n) { return n == name; }))));
    }
  }
  const double single = rank_correlation(local_said, local_seen);
  std::printf(
      "rank correlation of predicted and measured PSNR: %zu single layers under other candidates "
      "%.3f, %zu mixed recipes of %zu layers %.3f (largest difference %.2f dB)\n",
      local_said.size(), single, said.size(), layers.size(), mixed, worst);
  EXPECT_GT(mixed, 0.9);
  EXPECT_GT(single, 0.9);
}

}  // namespace
}  // namespace octavo
