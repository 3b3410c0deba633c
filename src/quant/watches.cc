#include "quant/watches.h"

#include <algorithm>

#include "models/models.h"
#include "quant/attention_plan.h"

namespace octavo {
namespace {

bool has_samples(const Graph& graph, const std::string& value) {
  const SymShape& shape = graph.value(*graph.find(value)).type.shape;
  return !shape.empty() && !shape.front().is_constant();
}

// An operand of attention, [samples, tokens, heads, channels]: no rows are kept of it.
void watch_operand(const Graph& graph, const std::string& component, const std::string& value,
                   const std::string& name, std::map<std::string, Watched>& watches) {
  Watched& watched = watches[component + "/" + value];
  if (watched.layers.empty()) {
    watched.channels = graph.value(*graph.find(value)).type.shape.back().value();
    watched.batched = has_samples(graph, value);
  }
  watched.layers.push_back(component + "/" + name);
}

}  // namespace

std::map<std::string, Watched> find_watches(const ModelSource& model,
                                            const std::vector<std::string>& components) {
  std::map<std::string, Watched> watches;
  std::set<std::string> seen;
  for (const std::string& component : components) {
    const Config config = model.config(component);
    const Family& family = find_family(config);
    for (const char* method : family.methods) {
      const Graph graph = family.build(config, nullptr, method);
      for (const QuantizableLayer& layer : quantizable_layers(graph)) {
        const std::string full = component + "/" + layer.name;
        if (!seen.insert(full).second) continue;
        Watched& watched = watches[component + "/" + layer.input];
        watched.channels = layer.weight_shape[1];
        watched.channel_axis = layer.op == Op::conv2d ? 1 : -1;
        watched.rows = layer.op != Op::conv2d;
        watched.batched = has_samples(graph, layer.input);
        watched.layers.push_back(full);
      }
      for (const QuantizableAttention& attention : quantizable_attentions(graph)) {
        if (!seen.insert(component + "/" + attention.name).second) continue;
        const auto watch = [&](const std::string& value, const char* operand) {
          watch_operand(graph, component, value, attention_operand(attention.name, operand),
                        watches);
        };
        watch(attention.q, "q"), watch(attention.k, "k"), watch(attention.v, "v");
      }
    }
  }
  return watches;
}

int64_t row_bytes(const Sampling& sampling, int64_t channels, int64_t steps) {
  constexpr int64_t kWaiting = 4;  // prompts whose rows wait for their product: the usual batch
  const int64_t row = channels * static_cast<int64_t>(sizeof(float));
  const int64_t rows = sampling.rows * steps * row;
  if (sampling.moment_stride == 0) return rows;
  return rows + kWaiting * SecondMoment::kBlockRows * row +
         static_cast<int64_t>(SecondMoment::bytes(channels));
}

std::vector<std::set<std::string>> plan_passes(const std::map<std::string, Watched>& watches,
                                               const Sampling& sampling, int64_t steps,
                                               int64_t memory) {
  std::vector<std::set<std::string>> passes(1);
  int64_t held = 0;
  for (const auto& [value, watched] : watches) {
    if (!watched.rows) continue;
    const int64_t bytes = row_bytes(sampling, watched.channels, steps);
    if (held + bytes > memory && !passes.back().empty()) {
      passes.emplace_back();
      held = 0;
    }
    passes.back().insert(value);
    held += bytes;
  }
  return passes;
}

}  // namespace octavo
