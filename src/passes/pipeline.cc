#include "passes/pipeline.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <sstream>

#include "base/check.h"
#include "base/env.h"
#include "base/log.h"

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

}  // namespace

std::span<const Pass> pass_table() { return kPasses; }

Graph run_passes(const Graph& graph, const PassOptions& options, std::vector<PassReport>* reports) {
  using Clock = std::chrono::steady_clock;
  const std::set<std::string> disabled = disabled_names(options);
  Graph current = graph;
  for (const Pass& pass : kPasses) {
    if (disabled.count(pass.name)) continue;
    const auto start = Clock::now();
    Graph next = pass.run(current, options);
    verify(next, pass.name);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    log_info("pass {}: {} -> {} nodes, {:.1f} ms ({})", pass.name, current.nodes().size(),
             next.nodes().size(), 1e3 * seconds, graph.name);
    if (reports) {
      reports->push_back({pass.name, seconds, current.nodes().size(), next.nodes().size()});
    }
    current = std::move(next);
  }
  return current;
}

}  // namespace octavo
