#include <algorithm>

#include <fmt/ranges.h>

#include "base/check.h"
#include "plan/plan.h"

namespace octavo {
namespace {

std::string expected_inputs(const Graph& graph) {
  std::vector<std::string> names;
  for (ValueId id : graph.inputs()) names.push_back(graph.value(id).name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// The one symbol that a dimension consists of, if so.
std::optional<std::string> lone_symbol(const Dim& dim) {
  std::vector<std::string> symbols;
  dim.collect_symbols(symbols);
  if (symbols.size() == 1 && dim == Dim::symbol(symbols[0])) return symbols[0];
  return std::nullopt;
}

[[noreturn]] void fail_dimension(const Value& input, const Shape& shape, size_t axis,
                                 const std::string& expected) {
  OCTAVO_FAIL(invalid_argument, "input \"{}\" is {}: dimension {} is {}, expected {} (type {}{})",
              input.name, to_string(shape), axis, shape[axis], expected, name(input.type.dtype),
              to_string(input.type.shape));
}

// Where each symbol was bound, for messages.
struct Binder {
  Bindings bindings;
  std::map<std::string, std::string> origin;

  void bind_symbols(const Value& input, const Shape& shape) {
    OCTAVO_CHECK(shape.size() == input.type.shape.size(),
                 "input \"{}\" is {} with {} dimensions, expected {} ({}{})", input.name,
                 to_string(shape), shape.size(), input.type.shape.size(), name(input.type.dtype),
                 to_string(input.type.shape));
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      const auto symbol = lone_symbol(input.type.shape[axis]);
      if (!symbol) continue;
      if (shape[axis] < 1) fail_dimension(input, shape, axis, "at least 1");
      const auto [found, fresh] = bindings.emplace(*symbol, shape[axis]);
      if (fresh) origin[*symbol] = fmt::format("\"{}\"", input.name);
      if (found->second != shape[axis]) {
        fail_dimension(input, shape, axis,
                       fmt::format("{} = {} as in {}", *symbol, found->second, origin[*symbol]));
      }
    }
  }

  bool is_bound(const Dim& dim) const {
    std::vector<std::string> symbols;
    dim.collect_symbols(symbols);
    return std::all_of(symbols.begin(), symbols.end(),
                       [&](const std::string& symbol) { return bindings.contains(symbol); });
  }

  void check_expressions(const Value& input, const Shape& shape) const {
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      const Dim& dim = input.type.shape[axis];
      if (!is_bound(dim)) continue;
      const int64_t expected = dim.eval(bindings);
      if (expected == shape[axis]) continue;
      fail_dimension(input, shape, axis,
                     dim.is_constant() ? dim.text() : fmt::format("{} = {}", dim.text(), expected));
    }
  }
};

}  // namespace

Bindings bind_given(const Graph& graph, const std::map<std::string, Shape>& shapes) {
  std::map<std::string, const Value*> inputs;
  for (ValueId id : graph.inputs()) inputs[graph.value(id).name] = &graph.value(id);
  Binder binder;
  for (const auto& [input, shape] : shapes) {
    OCTAVO_CHECK(inputs.contains(input), "input \"{}\" is not one of the model's: {}", input,
                 expected_inputs(graph));
    binder.bind_symbols(*inputs[input], shape);
  }
  for (const auto& [input, shape] : shapes) binder.check_expressions(*inputs[input], shape);
  return binder.bindings;
}

Bindings bind_inputs(const Graph& graph, const std::map<std::string, Shape>& shapes) {
  Bindings bindings = bind_given(graph, shapes);
  for (const std::string& symbol : graph.symbols()) {
    OCTAVO_CHECK(bindings.contains(symbol),
                 "the extent {} is not known: give an input that has it (inputs: {})", symbol,
                 expected_inputs(graph));
  }
  return bindings;
}

}  // namespace octavo
