#pragma once
// Finds the recipe of the least cost that keeps a promise about the pictures:
//   1 candidates   what each layer may become                          (candidates.h)
//   2 sensitivity  what that costs the pictures, by a few runs a layer (sensitivity.h)
//   3 cost         bytes, or time on the device                        (sensitivity.h, latency.h)
//   4 choose       one candidate a layer                               (choose.h)
//   5 verify       the production sampler on prompts not searched on; the bound is tightened by
//                  what was missing, or eased by what was left over, and 4 and 5 are repeated
// Without a promise, of latency: the fastest kernel of each layer, no pictures (autoquant).
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quant/search/candidates.h"
#include "quant/search/choose.h"
#include "quant/search/latency.h"
#include "quant/search/promise.h"
#include "quant/search/sensitivity.h"

namespace octavo {

enum class Objective : uint8_t { bytes, latency };
Objective parse_objective(std::string_view name);  // Error lists the names
std::string_view name(Objective objective);

struct SearchOptions {
  std::optional<Promise> promise;
  Objective objective = Objective::bytes;
  std::vector<Candidate> candidates;
  std::vector<std::string> layers;     // globs; empty: what named schemes quantize
  std::vector<std::string> prompts;    // search and verification share them out
  std::shared_ptr<const Stats> stats;  // needed with a promise, and by some candidates
  size_t searched = 8, verified = 48;  // prompts
  int rounds = 4;                      // of choosing and verifying, at most
  PictureRun run;                      // seed, steps, batch, device, compute
  std::filesystem::path state;         // measurements are kept here; empty: nowhere
};

struct Round {
  Choice choice;
  std::vector<size_t> candidates;  // by layer
  double bits = 0;                 // a weight of the layers that it quantizes
  double cost = 0;                 // bytes or seconds a step
  Verification verification;
  bool most_accurate = false;  // there is nothing better among the candidates
};

struct ParetoPoint {
  double bits = 0, cost = 0, psnr = 0;  // predicted
};

struct SearchResult {
  std::vector<SearchedLayer> layers;
  std::vector<std::pair<std::string, std::string>> left_out;
  Sensitivity sensitivity;  // empty without a promise
  Latency latency;          // empty unless that is the objective
  std::vector<ParetoPoint> pareto;
  std::vector<Round> rounds;
  int best = -1;                   // index of the cheapest round that keeps the promise
  std::vector<size_t> candidates;  // of it, by layer; without a promise the fastest
  double together_predicted = 0, together_measured = 0;  // dB, of the search's prompts
  double step_before = 0, step_after = 0;                // seconds, of the objective latency
  size_t resumed = 0;                                    // measurements that the state held
  std::optional<Recipe> recipe;                          // empty when the promise cannot be kept
};

// What can be said of the options without statistics and model: Error{invalid_argument}.
void check_request(const SearchOptions& options);
// Same inputs, same result, but for times, which are measured; a state file keeps those too.
SearchResult search(const std::shared_ptr<const ModelSource>& model, const SearchOptions& options);

// Why no recipe of these candidates keeps the promise, with figures. Of a result without recipe.
std::string explain_failure(const SearchOptions& options, const SearchResult& result);
// For the terminal, and a self-contained page.
std::string summary(const SearchOptions& options, const SearchResult& result);
std::string to_html(const std::string& model, const SearchOptions& options,
                    const SearchResult& result);

// Stored bits a weight over the layers that the choice quantizes; 0 when it quantizes none.
double bits_a_weight(const SearchResult& result, const std::vector<Candidate>& candidates,
                     const std::vector<size_t>& choice);

}  // namespace octavo
