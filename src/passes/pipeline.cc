#include "passes/pipeline.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <set>
#include <sstream>

#include "base/check.h"
#include "base/env.h"
#include "base/log.h"
#include "base/threads.h"

namespace octavo {
namespace {

template <Graph (*kPass)(const Graph&)>
Graph run(const Graph& graph, const PassOptions&) {
  return kPass(graph);
}

template <Graph (*kPass)(const Graph&, bool)>
Graph run_codes(const Graph& graph, const PassOptions& options) {
  return kPass(graph, options.attention_codes);
}

// Quantized products come first, so that epilogues are fused into them as into any other; merging
// equal quantize nodes before that leaves one for three layers that read one value, which is then
// the only use of its producer.
constexpr Pass kPasses[] = {
    {"dead_code", "remove what no output needs", run<dead_code>},
    {"lower_precision", "compute in bf16 or f16 where asked for",
     [](const Graph& graph, const PassOptions& options) {
       return options.compute == DType::f32 ? graph : lower_precision(graph, options.compute);
     }},
    {"common_subexpressions", "compute equal things once", run<common_subexpressions>},
    {"fold_constants", "compute what depends on constants only",
     [](const Graph& graph, const PassOptions& options) {
       return options.evaluate ? fold_constants(graph, options.evaluate) : graph;
     }},
    {"fuse_quantized", "products and attention over codes", run_codes<fuse_quantized>},
    {"fuse_norm_modulate", "layer norm with scale and shift per sample", run<fuse_norm_modulate>},
    {"fold_transform_into_norm", "an input's shift and multiplier into the norm before it",
     run<fold_transform_into_norm>},
    {"fold_transform_into_linear", "an input's shift and multiplier into the product before it",
     run<fold_transform_into_linear>},
    {"fuse_qk_norm_rope", "norm and rotation of queries and keys", run<fuse_qk_norm_rope>},
    {"fuse_activation", "activations into products and norms", run<fuse_activation>},
    {"fuse_residual_gate", "gates and residuals into products", run<fuse_residual_gate>},
    {"quantize_before_concat", "codes are joined and reshaped, not values",
     run_codes<quantize_before_concat>},
    {"fuse_quantize_into_producer", "producers write codes",
     run_codes<fuse_quantize_into_producer>},
    {"merge_again", "compute equal things once, after fusion", run<common_subexpressions>},
};

std::set<std::string> disabled_names(const PassOptions& options) {
  std::set<std::string> names(options.disabled.begin(), options.disabled.end());
  std::istringstream words(env("OCTAVO_DISABLE_PASSES").value_or(""));
  for (std::string word; std::getline(words, word, ',');) names.insert(word);
  names.erase("");
  for (const std::string& name : names) {
    const bool known = std::any_of(std::begin(kPasses), std::end(kPasses),
                                   [&](const Pass& pass) { return name == pass.name; });
    if (known) continue;
    std::vector<std::string_view> all;
    for (const Pass& pass : kPasses) all.push_back(pass.name);
    OCTAVO_FAIL(invalid_argument, "there is no pass '{}'; passes are: {}", name,
                fmt::join(all, " "));
  }
  return names;
}

// Verifies what a pass made while the next one runs, and then lets go of what it was made from:
// each of the two takes about as long as a pass.
class Verification {
 public:
  void begin(const char* pass, std::shared_ptr<Graph> made, std::shared_ptr<Graph> source) {
    end();
    const auto when = thread_count() > 1 ? std::launch::async : std::launch::deferred;
    pending_ =
        std::async(when, [pass, made = std::move(made), source = std::move(source)]() mutable {
          verify(*made, pass);
          made.reset();
          source.reset();
        });
  }
  void end() {
    if (pending_.valid()) pending_.get();
  }

 private:
  std::future<void> pending_;
};

// Where the pass before left a wrong graph, that is the error.
std::shared_ptr<Graph> run_pass(const Pass& pass, const Graph& graph, const PassOptions& options,
                                Verification& verification) {
  try {
    return std::make_shared<Graph>(pass.run(graph, options));
  } catch (...) {
    verification.end();
    throw;
  }
}

}  // namespace

std::span<const Pass> pass_table() { return kPasses; }

Graph run_passes(const Graph& graph, const PassOptions& options, std::vector<PassReport>* reports) {
  using Clock = std::chrono::steady_clock;
  const std::set<std::string> disabled = disabled_names(options);
  std::shared_ptr<Graph> current;  // none: `graph` itself
  Verification verification;
  for (const Pass& pass : kPasses) {
    if (disabled.count(pass.name)) continue;
    const auto start = Clock::now();
    const Graph& before = current ? *current : graph;
    std::shared_ptr<Graph> next = run_pass(pass, before, options, verification);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const size_t nodes_before = before.nodes().size(), nodes_after = next->nodes().size();
    log_info("pass {}: {} -> {} nodes, {:.1f} ms ({})", pass.name, nodes_before, nodes_after,
             1e3 * seconds, graph.name);
    if (reports) reports->push_back({pass.name, seconds, nodes_before, nodes_after});
    verification.begin(pass.name, next, std::move(current));
    current = std::move(next);
  }
  verification.end();
  if (current) return std::move(*current);
  return graph;
}

}  // namespace octavo
