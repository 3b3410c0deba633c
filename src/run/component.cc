#include "run/component.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "base/check.h"
#include "base/glob.h"
#include "models/models.h"
#include "passes/pipeline.h"
#include "plan/call.h"
#include "run/rates.h"

namespace octavo {
namespace {

std::map<std::string, Shape> shapes_of(std::initializer_list<const TensorMap*> maps) {
  std::map<std::string, Shape> shapes;
  for (const TensorMap* map : maps) {
    for (const auto& [name, tensor] : *map) shapes[name] = tensor.shape();
  }
  return shapes;
}

// Names of the values that the patterns match: inputs and whatever is computed.
std::vector<std::string> matched(const Graph& graph, const std::vector<std::string>& patterns) {
  std::vector<std::string> names;
  for (const Value& value : graph.values()) {
    const bool wanted =
        !value.constant && std::any_of(patterns.begin(), patterns.end(),
                                       [&](const auto& p) { return glob_match(p, value.name); });
    if (wanted) names.push_back(value.name);
  }
  return names;
}

const char* giver(Rate rate) {
  if (rate == Rate::step) return "step()";
  return rate == Rate::schedule ? "begin()'s schedule" : "begin()'s request";
}

}  // namespace

struct Component::Impl {
  Impl(Graph built, ComponentOptions given)
      : source(std::move(built)),
        options(std::move(given)),
        tapped(matched(source, options.taps)),
        states(make_state_cache()),
        whole(optimized(), options.plan, true, states) {}

  Graph optimized() const {
    Graph graph = source;
    for (const std::string& name : tapped) {
      graph.add_output(std::string(kTapPrefix) + name, *graph.find(name));
    }
    const bool reference = options.plan.reference_kernels;
    PassOptions passes;
    passes.compute = options.compute;
    // There are no kernels for them on devices yet: attention runs on floats there.
    passes.attention_codes = options.plan.device == nullptr;
    passes.disabled = options.disabled_passes;
    passes.evaluate = [reference](const Graph& g, const Node& node,
                                  const std::vector<Tensor>& inputs) {
      return evaluate_node(g, node, inputs, reference);
    };
    return run_passes(graph, passes);
  }

  const Graph& graph() const { return whole.graph(); }

  // The error for an input that is unknown or given at the wrong time.
  void check_rates(const TensorMap& inputs, Rate expected) const {
    for (const auto& [name, tensor] : inputs) {
      const auto id = source.find(name);
      if (!id || source.value(*id).producer >= 0 || source.value(*id).constant) {
        bind_given(source, {{name, tensor.shape()}});  // throws with the list of inputs
      }
      const Rate rate = source.value(*id).rate;
      OCTAVO_CHECK(rate == expected, "[{}] input \"{}\" is of {} rate: give it to {}, not to {}",
                   source.name, name, octavo::name(rate), giver(rate), giver(expected));
    }
  }

  void check_complete(const TensorMap& inputs, Rate rate) const {
    for (ValueId id : source.inputs()) {
      const Value& value = source.value(id);
      if (value.rate != rate || inputs.contains(value.name)) continue;
      OCTAVO_FAIL(invalid_argument, "[{}] input \"{}\" is missing in {}, expected {}{}",
                  source.name, value.name, giver(rate), name(value.type.dtype),
                  to_string(value.type.shape));
    }
  }

  void begin(TensorMap given, const std::vector<TensorMap>& steps) {
    OCTAVO_CHECK(!steps.empty(), "[{}] begin() with a schedule of no steps", source.name);
    fill_default_inputs(source, given);
    check_rates(given, Rate::request);
    check_complete(given, Rate::request);
    Bindings bindings;
    for (const TensorMap& inputs : steps) {
      check_rates(inputs, Rate::schedule);
      check_complete(inputs, Rate::schedule);
      bindings = bind_given(source, shapes_of({&given, &inputs}));
    }
    request = std::move(given);
    schedule = steps;
    if (!options.hoist) return;
    if (!rates) {
      rates = std::make_unique<RateRunner>(graph(), options.plan, states);
      for (Stage* stage : rates->stages()) stage->set_profiling(profiling);
    }
    rates->begin(bindings, request, schedule);
  }

  TensorMap step(size_t k, const TensorMap& inputs, const Observer& observer) {
    OCTAVO_CHECK(k < schedule.size(), "[{}] step {} of a schedule of {}: call begin() first",
                 source.name, k, schedule.size());
    check_rates(inputs, Rate::step);
    check_complete(inputs, Rate::step);
    const Bindings bindings = bind_inputs(source, shapes_of({&request, &schedule[k], &inputs}));
    if (options.hoist) return rates->step(bindings, k, inputs, observer);
    TensorMap all = inputs;
    all.insert(request.begin(), request.end());
    all.insert(schedule[k].begin(), schedule[k].end());
    return whole.run(bindings, all, observer);
  }

  std::vector<double> time_steps(const std::vector<size_t>& steps, const TensorMap& inputs) {
    OCTAVO_CHECK(rates != nullptr, "[{}] steps are timed after begin(), with hoisting",
                 source.name);
    check_complete(inputs, Rate::step);
    const Bindings bindings = bind_inputs(source, shapes_of({&request, &schedule[0], &inputs}));
    return rates->time_steps(bindings, steps, inputs);
  }

  bool can_loop() const { return options.hoist && options.plan.device != nullptr; }

  Bindings check_loop(const EulerLoop& loop, const TensorMap& inputs) const {
    OCTAVO_CHECK(can_loop() && rates, "[{}] loop() before begin(), or not on a device",
                 source.name);
    check_rates(inputs, Rate::step);
    check_complete(inputs, Rate::step);
    OCTAVO_CHECK(inputs.contains(loop.state), "[{}] the state of a loop, \"{}\", is no input",
                 source.name, loop.state);
    return bind_inputs(source, shapes_of({&request, &schedule[0], &inputs}));
  }

  TensorMap run(TensorMap inputs, const Observer& observer) {
    fill_default_inputs(source, inputs);
    for (Rate rate : {Rate::request, Rate::schedule, Rate::trajectory, Rate::step}) {
      check_complete(inputs, rate);
    }
    return whole.run(bind_inputs(source, shapes_of({&inputs})), inputs, observer);
  }

  std::vector<Stage*> stages() {
    std::vector<Stage*> result{&whole};
    if (rates) {
      for (Stage* stage : rates->stages()) result.push_back(stage);
    }
    return result;
  }

  void set_profiling(bool on) {
    profiling = on;
    for (Stage* stage : stages()) stage->set_profiling(on);
  }

  Graph source;
  ComponentOptions options;
  std::vector<std::string> tapped;
  std::shared_ptr<StateCache> states;
  Stage whole;
  std::unique_ptr<RateRunner> rates;  // made by the first begin()
  TensorMap request;                  // of the last begin()
  std::vector<TensorMap> schedule;
  bool profiling = false;
};

Component::Component(Graph graph, ComponentOptions options)
    : impl_(std::make_unique<Impl>(std::move(graph), std::move(options))) {}
Component::~Component() = default;
Component::Component(Component&&) noexcept = default;

TensorMap Component::run(const TensorMap& inputs, const Observer& observer) {
  return impl_->run(inputs, observer);
}

void Component::begin(const TensorMap& request, const std::vector<TensorMap>& schedule) {
  impl_->begin(request, schedule);
}

TensorMap Component::step(size_t k, const TensorMap& inputs, const Observer& observer) {
  return impl_->step(k, inputs, observer);
}

std::vector<double> Component::time_steps(const std::vector<size_t>& steps,
                                          const TensorMap& inputs) {
  return impl_->time_steps(steps, inputs);
}

bool Component::can_loop() const { return impl_->can_loop(); }

Tensor Component::loop(const EulerLoop& loop, const TensorMap& inputs, const StepDone& done) {
  const Bindings bindings = impl_->check_loop(loop, inputs);
  return impl_->rates->loop(bindings, loop, inputs, done);
}

std::vector<double> Component::time_loops(const EulerLoop& loop, const TensorMap& inputs,
                                          int times) {
  const Bindings bindings = impl_->check_loop(loop, inputs);
  return impl_->rates->time_loops(bindings, loop, inputs, times);
}

const Graph& Component::source_graph() const { return impl_->source; }
const Graph& Component::graph() const { return impl_->graph(); }
std::vector<std::string> Component::tapped() const { return impl_->tapped; }
void Component::set_profiling(bool on) { impl_->set_profiling(on); }

size_t Component::resident_bytes() const { return octavo::resident_bytes(plans()); }

std::vector<NodeProfile> Component::profile() const {
  std::vector<NodeProfile> rows;
  for (const Stage* stage : impl_->stages()) stage->collect_profile(rows);
  return rows;
}

std::vector<std::shared_ptr<const Plan>> Component::plans() const {
  std::vector<std::shared_ptr<const Plan>> plans;
  for (const Stage* stage : impl_->stages()) stage->collect_plans(plans);
  return plans;
}

}  // namespace octavo
