#include "quant/search/search.h"

#include <algorithm>
#include <cmath>

#include <fmt/ranges.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/progress.h"
#include "kernels/device.h"
#include "quant/quantize_model.h"

namespace octavo {
namespace {

constexpr double kWorthEasing = 0.15;  // dB over the bound that another round may turn into cost
constexpr double kTighten = 1.1;       // times what was missing
constexpr double kTightenLeast = 0.05;

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += part + "\n";
  return text;
}

std::vector<std::string> calibrated_prompts(const Stats* stats) {
  std::vector<std::string> prompts;  // kept as "seed:prompt"
  if (stats == nullptr) return prompts;
  for (const std::string& entry : stats->prompts)
    prompts.push_back(entry.substr(entry.find(':') + 1));
  return prompts;
}

Measurements::Identity identity_of(const ModelSource& model, const SearchOptions& o,
                                   const std::vector<SearchedLayer>& layers) {
  std::vector<std::string> candidates, names;
  for (const Candidate& c : o.candidates) candidates.push_back(c.text);
  for (const SearchedLayer& layer : layers) names.push_back(layer.name());
  return {{"model", model.hash()},
          {"statistics", o.stats ? o.stats->hash() : "none"},
          {"candidates", fmt::format("{}", fmt::join(candidates, ", "))},
          {"layers", hash_hex(joined(names))},
          {"prompts", hash_hex(joined(o.prompts))},
          {"prompts searched on", std::to_string(o.searched)},
          {"seed", std::to_string(o.run.seed)},
          {"steps", std::to_string(o.run.steps)},
          {"device", o.run.device ? o.run.device->info().name : "CPU"},
          {"compute", std::string(name(o.run.compute))}};
}

void check_statistics(const ModelSource& model, const SearchOptions& o) {
  if (!o.promise && !needs_statistics(o.candidates)) return;
  OCTAVO_CHECK(o.stats != nullptr,
               "this search needs calibration statistics of {}; make them with "
               "octavo calibrate {} -o STATS.safetensors",
               model.where(), model.where());
  OCTAVO_CHECK(o.stats->model_hash == model.hash(),
               "the statistics are of a model with hash {}, {} has hash {}; calibrate this one",
               o.stats->model_hash, model.where(), model.hash());
}

class Searcher {
 public:
  Searcher(const std::shared_ptr<const ModelSource>& model, const SearchOptions& options)
      : model_(model), o_(options) {
    check_request(o_);
    check_statistics(*model, o_);
    SearchedLayers found = list_layers(*model, o_.candidates, o_.layers);
    result_.layers = std::move(found.layers);
    result_.left_out = std::move(found.left_out);
  }

  SearchResult run() {
    Measurements measured(o_.state, identity_of(*model_, o_, result_.layers));
    result_.resumed = measured.resumed();
    const SensitivityProblem problem{model_, o_.stats, result_.layers, o_.candidates};
    if (o_.objective == Objective::latency) {
      result_.latency = measure_latency(problem, latency_options(), measured);
      result_.step_before = result_.latency.step_in_float;
    }
    if (!o_.promise) {
      pick_fastest();
    } else {
      const PromptPool pool(o_.prompts, calibrated_prompts(o_.stats.get()), o_.searched,
                            o_.verified);
      result_.sensitivity = estimate_layers(problem, measured);
      measure(problem, pool, measured);
      fill_options();
      fill_pareto();
      verify_rounds(pool, measured);
    }
    finish(measured);
    return std::move(result_);
  }

 private:
  LatencyOptions latency_options() const {
    LatencyOptions options;
    if (!o_.prompts.empty()) options.prompt = o_.prompts.front();
    options.device = o_.run.device;
    options.compute = o_.run.compute;
    return options;
  }

  void measure(const SensitivityProblem& problem, const PromptPool& pool, Measurements& measured) {
    const ReferencePictures pictures(*model_, pool.searched(), o_.run);
    measure_layers(problem, pictures, measured, result_.sensitivity);
    const Sensitivity& s = result_.sensitivity;
    result_.together_predicted = mean_psnr(s.predict(result_.layers, s.references(result_.layers)));
    result_.together_measured = mean_psnr(s.together);
    correction_ = result_.together_measured - result_.together_predicted;
  }

  double cost_of(size_t layer, size_t place) const {
    return o_.objective == Objective::bytes ? result_.sensitivity.layers[layer].figures[place].bytes
                                            : result_.latency.layers[layer][place].seconds;
  }

  void fill_options() {
    const std::vector<double> shares = result_.sensitivity.shares();
    for (size_t l = 0; l < result_.layers.size(); ++l) {
      const LayerSensitivity& layer = result_.sensitivity.layers[l];
      const double reference = layer.figures[layer.reference].error;
      Options& options = options_.emplace_back();
      for (size_t i = 0; i < layer.figures.size(); ++i) {
        const double error = reference > 0 ? shares[l] * layer.figures[i].error / reference : 0;
        options.push_back({cost_of(l, i), error});
      }
    }
  }

  std::vector<size_t> to_candidates(const Choice& choice) const {
    std::vector<size_t> candidates;
    for (size_t l = 0; l < result_.layers.size(); ++l) {
      candidates.push_back(result_.layers[l].possible[choice.options[l]]);
    }
    return candidates;
  }

  double predicted(const Choice& choice) const {
    return mean_psnr(result_.sensitivity.predict(result_.layers, to_candidates(choice)));
  }

  void fill_pareto() {
    for (const Choice& choice : frontier(options_)) {
      result_.pareto.push_back({bits_a_weight(result_, o_.candidates, to_candidates(choice)),
                                choice.cost, std::min(predicted(choice), 200.0) + correction_});
    }
  }

  // The least cost whose predicted mean PSNR is at least `psnr`: the budget of summed errors is
  // found by bisection, as the mean over pictures in dB is no sum over layers.
  Choice cheapest(double psnr) const {
    double low = most_accurate(options_).error, high = 0;
    for (const Options& layer : options_) {
      double most = 0;
      for (const Option& option : layer) most = std::max(most, option.error);
      high += most;
    }
    Choice best = most_accurate(options_);
    best.within = predicted(best) >= psnr;
    if (!best.within) return best;
    for (int i = 0; i < 50; ++i) {
      const double middle = i == 0 ? high : (low + high) / 2;  // first the cheapest of all
      Choice choice = choose(options_, middle);
      if (choice.within && predicted(choice) >= psnr) {
        low = middle;
        if (choice.cost <= best.cost) best = std::move(choice);
      } else {
        high = middle;
      }
    }
    return best;
  }

  Round verify(const Choice& choice, size_t number, const PromptPool& pool,
               Measurements& measured) const {
    Round round;
    round.choice = choice;
    round.candidates = to_candidates(choice);
    round.bits = bits_a_weight(result_, o_.candidates, round.candidates);
    round.cost = choice.cost;
    round.most_accurate = choice.options == most_accurate(options_).options;
    Verification& v = round.verification;
    v.prompts = pool.verified(number);
    v.predicted = predicted(choice) + correction_;
    const Recipe recipe = recipe_of(result_.layers, o_.candidates, round.candidates, "choice");
    const std::string name = fmt::format("verification {} of {}", number + 1,
                                         hash_hex(recipe.text() + joined(v.prompts)));
    const std::vector<double>& errors = measured.get(name, [&] {
      PictureRun run = o_.run;
      run.seed += 1000 * (number + 1);  // other noise than the search's
      const bool quantized = std::any_of(round.candidates.begin(), round.candidates.end(),
                                         [&](size_t c) { return o_.candidates[c].scheme; });
      if (!quantized) return std::vector<double>(v.prompts.size(), 0);
      const auto view = quantized_view(model_, recipe, o_.stats.get());
      return ReferencePictures(*model_, v.prompts, run).errors(*view);
    });
    v.psnr = bootstrap_mean(psnr_of_errors(errors));
    return round;
  }

  // The first bound leaves room for the interval that so many pictures will have.
  double first_bound(size_t pictures) const {
    const std::vector<double> psnr = psnr_of_errors(result_.sensitivity.together);
    const double mean = mean_psnr(result_.sensitivity.together);
    double squares = 0;
    for (double value : psnr) squares += (value - mean) * (value - mean);
    const double deviation =
        psnr.size() > 1 ? std::sqrt(squares / static_cast<double>(psnr.size() - 1)) : 0;
    return o_.promise->psnr - correction_ +
           1.96 * deviation / std::sqrt(static_cast<double>(pictures));
  }

  void verify_rounds(const PromptPool& pool, Measurements& measured) {
    double bound = first_bound(pool.verified(0).size());
    Progress progress("verify", o_.rounds, "rounds");
    for (int r = 0; r < o_.rounds; ++r) {
      const bool last = r + 1 == o_.rounds && result_.best < 0;
      const Choice choice = last ? most_accurate(options_) : cheapest(bound);
      if (is_known(choice)) break;
      result_.rounds.push_back(verify(choice, static_cast<size_t>(r), pool, measured));
      progress.step();
      const Round& round = result_.rounds.back();
      const double over = round.verification.psnr.low - o_.promise->psnr;
      if (over >= 0 && (result_.best < 0 || round.cost < best_round().cost)) {
        result_.best = r;
        result_.candidates = round.candidates;
      }
      if (over >= 0 && over < kWorthEasing) break;
      if (over < 0 && (round.most_accurate || result_.best >= 0)) break;
      bound -= over >= 0 ? 0.8 * over : kTighten * over - kTightenLeast;
    }
    progress.finish();
  }

  const Round& best_round() const { return result_.rounds[static_cast<size_t>(result_.best)]; }

  bool is_known(const Choice& choice) const {
    return std::any_of(result_.rounds.begin(), result_.rounds.end(),
                       [&](const Round& round) { return round.choice.options == choice.options; });
  }

  void pick_fastest() {
    for (size_t l = 0; l < result_.layers.size(); ++l) {
      const auto& times = result_.latency.layers[l];
      const auto faster = [](const KernelTime& a, const KernelTime& b) {
        return a.seconds < b.seconds;
      };
      const auto best = std::min_element(times.begin(), times.end(), faster) - times.begin();
      result_.candidates.push_back(result_.layers[l].possible[static_cast<size_t>(best)]);
    }
  }

  void finish(Measurements& measured) {
    if (o_.promise && result_.best < 0) return;
    std::string head = fmt::format("# octavo search: {}{}\n", name(o_.objective),
                                   o_.promise ? " for " + o_.promise->text() : "");
    if (o_.promise) {
      const Verification& v = best_round().verification;
      head += fmt::format("# verified on {} prompts: {:.2f} dB, 95 % [{:.2f}, {:.2f}]\n",
                          v.prompts.size(), v.psnr.mean, v.psnr.low, v.psnr.high);
    }
    result_.recipe = recipe_of(result_.layers, o_.candidates, result_.candidates, "search", head);
    if (o_.objective != Objective::latency) return;
    const std::string what = "seconds of a step as " + hash_hex(result_.recipe->text());
    result_.step_after =
        measured
            .get(
                what,
                [&] {
                  const bool any =
                      std::any_of(result_.candidates.begin(), result_.candidates.end(),
                                  [&](size_t c) { return o_.candidates[c].scheme.has_value(); });
                  if (!any) return std::vector<double>{result_.step_before};
                  return std::vector<double>{step_seconds(
                      *quantized_view(model_, *result_.recipe, o_.stats.get()), latency_options())};
                })
            .at(0);
  }

  std::shared_ptr<const ModelSource> model_;
  const SearchOptions& o_;
  SearchResult result_;
  std::vector<Options> options_;
  double correction_ = 0;  // dB, measured minus predicted, all layers together
};

}  // namespace

Objective parse_objective(std::string_view text) {
  for (Objective objective : {Objective::bytes, Objective::latency}) {
    if (name(objective) == text) return objective;
  }
  OCTAVO_FAIL(invalid_argument, "'{}' is nothing to minimize; known: bytes latency", text);
}

std::string_view name(Objective objective) {
  return objective == Objective::bytes ? "bytes" : "latency";
}

double bits_a_weight(const SearchResult& result, const std::vector<Candidate>& candidates,
                     const std::vector<size_t>& choice) {
  if (result.sensitivity.layers.empty()) return 0;
  double bytes = 0, parameters = 0;
  for (size_t l = 0; l < result.layers.size(); ++l) {
    if (!candidates[choice[l]].scheme) continue;
    const auto& possible = result.layers[l].possible;
    const auto place = std::find(possible.begin(), possible.end(), choice[l]) - possible.begin();
    bytes += result.sensitivity.layers[l].figures[static_cast<size_t>(place)].bytes;
    parameters += result.layers[l].parameters;
  }
  return parameters > 0 ? 8 * bytes / parameters : 0;
}

void check_request(const SearchOptions& o) {
  OCTAVO_CHECK(
      o.promise || o.objective == Objective::latency,
      "the fewest bytes without a promise are those of the smallest candidate; say what to "
      "keep: --keep \"psnr>=40\"");
  OCTAVO_CHECK(o.candidates.size() > 1 || o.promise,
               "one candidate alone leaves nothing to choose; name several");
  OCTAVO_CHECK(o.searched >= 1 && o.verified >= 4 && o.rounds >= 1,
               "a search needs a prompt or more, a verification 4 or more, and a round");
}

SearchResult search(const std::shared_ptr<const ModelSource>& model, const SearchOptions& options) {
  return Searcher(model, options).run();
}

}  // namespace octavo
