// In a trajectory-rate part:  m = linear(silu(temb), w); y = f(x, m)      m of rate trajectory
//   ->  trajectory: m = linear(silu(temb), w); output m      step: input m; y = f(x, m)
#include "passes/hoist.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/check.h"
#include "passes/operands.h"

namespace octavo {
namespace {

constexpr std::array kStages{Rate::request, Rate::schedule, Rate::trajectory, Rate::step};
size_t index_of(Rate rate) {
  return static_cast<size_t>(std::find(kStages.begin(), kStages.end(), rate) - kStages.begin());
}

uint8_t bit(Rate stage) { return static_cast<uint8_t>(1u << index_of(stage)); }

class Hoister {
 public:
  explicit Hoister(const Graph& graph)
      : graph_(graph), stage_(graph.nodes().size(), Rate::model), wanted_(graph.nodes().size(), 0) {
    for (size_t s = 0; s < kStages.size(); ++s) {
      parts_[s].graph.name = graph.name + "/" + name(kStages[s]);
      parts_[s].mapped.assign(graph.values().size(), kNoValue);
    }
  }

  StagedGraph run() {
    for (size_t n = 0; n < stage_.size(); ++n) stage_[n] = stage_of(graph_.nodes()[n]);
    for (const Graph::Output& output : graph_.outputs()) want(output.value, made_in(output.value));
    for (size_t n = stage_.size(); n-- > 0;) {
      for (Rate stage : kStages) {
        if (!(wanted_[n] & bit(stage))) continue;
        for (ValueId id : graph_.nodes()[n].inputs) want(id, stage);
      }
    }
    for (size_t n = 0; n < stage_.size(); ++n) {
      for (Rate stage : kStages) {
        if (wanted_[n] & bit(stage)) copy(graph_.nodes()[n], stage);
      }
    }
    add_outputs();
    for (const Part& part : parts_) verify(part.graph, "hoist");
    return {std::move(parts_[0].graph), std::move(parts_[1].graph), std::move(parts_[2].graph),
            std::move(parts_[3].graph)};
  }

 private:
  struct Part {
    Graph graph;
    std::vector<ValueId> mapped;  // by source value
  };
  Part& part(Rate stage) { return parts_[index_of(stage)]; }

  static bool is_small(const ValueType& type) {
    const SymShape rest(type.shape.begin() + (type.shape.empty() ? 0 : 1), type.shape.end());
    const Dim elements = product(rest);
    return elements.is_constant() && elements.value() <= kHoistedElements;
  }

  // Where a node runs: at its rate, or later if an operand is made later or its result is too large
  // to be kept for every step. Constant parts have no stage of their own.
  Rate stage_of(const Node& node) const {
    Rate stage = graph_.value(node.outputs[0]).rate;
    if (stage == Rate::schedule || stage == Rate::trajectory) {
      for (ValueId id : node.outputs) {
        if (!is_small(graph_.value(id).type)) stage = Rate::step;
      }
    }
    for (ValueId id : node.inputs) {
      if (id != kNoValue && graph_.value(id).producer >= 0) stage = join(stage, producer_stage(id));
    }
    return stage;
  }

  Rate producer_stage(ValueId id) const {
    return stage_[static_cast<size_t>(graph_.value(id).producer)];
  }

  // The stage whose graph gives an output; inputs and constants pass through the step stage.
  Rate made_in(ValueId id) const {
    if (graph_.value(id).producer < 0 || producer_stage(id) == Rate::model) return Rate::step;
    return producer_stage(id);
  }

  // Whether a stage makes the value itself: its own, and constants, views and repetitions anew.
  bool is_made_here(ValueId id, Rate stage) const {
    const Node& node = graph_.node(graph_.value(id).producer);
    return producer_stage(id) == stage || producer_stage(id) == Rate::model ||
           node.op == Op::reshape || node.op == Op::expand || is_first_row(node);
  }

  // The first of axis 0: a view. Left to the stage that reads it, since a stage in which rows of
  // axis 0 are mixed cannot run for all steps as one batch.
  static bool is_first_row(const Node& node) {
    return node.op == Op::slice && node.attrs.get_int("axis") == 0 &&
           node.attrs.get_dim("begin") == Dim(0) && node.attrs.get_dim("end") == Dim(1);
  }

  void want(ValueId id, Rate stage) {
    if (id == kNoValue || graph_.value(id).producer < 0) return;
    const bool here = is_made_here(id, stage);
    const Rate maker = here ? stage : producer_stage(id);
    if (!here) crossing_.emplace(id, maker);
    wanted_[static_cast<size_t>(graph_.value(id).producer)] |= bit(maker);
  }

  void copy(const Node& node, Rate stage) {
    std::vector<ValueId> inputs;
    for (ValueId id : node.inputs) inputs.push_back(id == kNoValue ? id : in_stage(id, stage));
    Part& to = part(stage);
    const NodeId source = graph_.value(node.outputs.front()).producer;
    const auto outputs = to.graph.add_copy(graph_, source, std::move(inputs));
    for (size_t i = 0; i < outputs.size(); ++i) {
      to.mapped[static_cast<size_t>(node.outputs[i])] = outputs[i];
    }
  }

  // The id of a source value in a stage's graph: made there, a constant, or an input.
  ValueId in_stage(ValueId id, Rate stage) {
    Part& here = part(stage);
    ValueId& mapped = here.mapped[static_cast<size_t>(id)];
    if (mapped != kNoValue) return mapped;
    const Value& v = graph_.value(id);
    if (v.constant) return mapped = here.graph.add_constant(v.name, *v.constant);
    const std::string input_name = v.producer < 0 ? v.name : crossing_name(id);
    return mapped = here.graph.add_input(input_name, v.type.dtype, v.type.shape, v.rate);
  }

  void add_outputs() {
    for (const Graph::Output& output : graph_.outputs()) {
      const Rate stage = made_in(output.value);
      const ValueId here = in_stage(output.value, stage);
      part(stage).graph.add_output(output.name, here);
    }
    for (const auto& [id, stage] : crossing_) {
      if (is_public(id, graph_.value(id).name)) continue;
      part(stage).graph.add_output(crossing_name(id), part(stage).mapped[static_cast<size_t>(id)]);
    }
  }

  // Whether the value is an output of the source under this name.
  bool is_public(ValueId id, const std::string& public_name) const {
    return std::any_of(graph_.outputs().begin(), graph_.outputs().end(), [&](const auto& output) {
      return output.name == public_name && output.value == id;
    });
  }

  // The value's own name, unless another output or value has it.
  std::string crossing_name(ValueId id) const {
    const std::string& own = graph_.value(id).name;
    std::string result = own;
    if (is_public(id, own)) return result;
    const auto taken = [&] {
      return std::any_of(graph_.outputs().begin(), graph_.outputs().end(),
                         [&](const Graph::Output& output) { return output.name == result; }) ||
             (result != own && graph_.find(result));
    };
    while (taken()) result += "#stage";
    return result;
  }

  const Graph& graph_;
  std::vector<Rate> stage_;      // by node
  std::vector<uint8_t> wanted_;  // by node: in which stages it is made
  std::array<Part, kStages.size()> parts_;
  std::map<ValueId, Rate> crossing_;  // with the stage that makes it
};

// Constants of one stage but scales, by name.
std::map<std::string, int64_t> parameters(const Graph& graph) {
  std::map<std::string, int64_t> result;
  for (const Node& node : graph.nodes()) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNoValue) continue;
      const Value& v = graph.value(node.inputs[i]);
      if (!v.constant || operand_kind(node.op, i) == OperandKind::scale) continue;
      result[v.name] = v.constant->elements();
    }
  }
  return result;
}

}  // namespace

StagedGraph hoist(const Graph& graph) { return Hoister(graph).run(); }

HoistReport report(const StagedGraph& stages) {
  HoistReport result;
  std::set<std::string> counted;
  const std::array graphs{&stages.request, &stages.schedule, &stages.trajectory, &stages.step};
  for (size_t s = graphs.size(); s-- > 0;) {
    StageReport& row = result[kStages[s]];
    for (const auto& [rate, flops] : flops_by_rate(*graphs[s])) row.flops = row.flops + flops;
    row.nodes = static_cast<int64_t>(graphs[s]->nodes().size());
    for (const auto& [constant, elements] : parameters(*graphs[s])) {
      if (counted.insert(constant).second) row.parameters += elements;
    }
  }
  return result;
}

}  // namespace octavo
