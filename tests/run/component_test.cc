#include "run/component.h"

#include <algorithm>

#include "passes/hoist.h"
#include "plan/expect_error.h"
#include "run/golden_case.h"

namespace octavo {
namespace {

using test::equal_bytes;
using test::expect_error;
using test::rel_l2;

constexpr ErrorCode kArgument = ErrorCode::invalid_argument;

// prompt[B, 4] (request), t[B] (schedule), x[B, 4] (step):
//   p = silu(prompt); s = silu(t w_t); m = (s + p) w_m; y = x w_x + m
Graph by_rate() {
  Graph graph;
  graph.name = "by_rate";
  const Dim b = Dim::symbol("B");
  const ValueId prompt = graph.add_input("prompt", DType::f32, {b, 4}, Rate::request);
  const ValueId t = graph.add_input("t", DType::f32, {b}, Rate::schedule);
  const ValueId x = graph.add_input("x", DType::f32, {b, 4}, Rate::step);
  const auto weight = [&](const char* name, int64_t in, uint64_t seed) {
    return graph.add_constant(name, test::random_tensor({4, in}, seed));
  };
  const ValueId p = graph.add(Op::silu, {prompt}, {}, "p");
  const ValueId column = graph.add(Op::reshape, {t}, {{"shape", SymShape{b, 1}}}, "column");
  const ValueId ts = graph.add(Op::linear, {column, weight("w_t", 1, 1)}, {}, "ts");
  const ValueId s = graph.add(Op::silu, {ts}, {}, "s");
  const ValueId both = graph.add(Op::add, {s, p}, {}, "both");
  const ValueId m = graph.add(Op::linear, {both, weight("w_m", 4, 2)}, {}, "m");
  const ValueId h = graph.add(Op::linear, {x, weight("w_x", 4, 3)}, {}, "h");
  graph.add_output("y", graph.add(Op::add, {h, m}, {}, "y"));
  graph.add_output("pooled", p);
  return graph;
}

constexpr int64_t kBatch = 3, kSteps = 5;

struct Inputs {
  TensorMap request{{"prompt", test::random_tensor({kBatch, 4}, 10)}};
  std::vector<TensorMap> schedule;
  TensorMap step{{"x", test::random_tensor({kBatch, 4}, 11)}};
  Inputs() {
    for (int64_t k = 0; k < kSteps; ++k) {
      schedule.push_back({{"t", test::random_tensor({kBatch}, 20 + static_cast<uint64_t>(k))}});
    }
  }
  TensorMap all(size_t k) const {
    TensorMap result = request;
    result.insert(schedule[k].begin(), schedule[k].end());
    result.insert(step.begin(), step.end());
    return result;
  }
};

const Plan* plan_of(const Component& component, const std::string& stage) {
  for (const auto& plan : component.plans()) {
    if (plan->graph.name.ends_with(stage)) return plan.get();
  }
  return nullptr;
}

TEST(Component, StepsAreTheWholeGraph) {
  const Inputs in;
  for (bool hoist : {true, false}) {
    ComponentOptions options;
    options.hoist = hoist;
    Component component(by_rate(), options);
    component.begin(in.request, in.schedule);
    for (size_t k : {0, 4, 2, 2}) {
      const TensorMap found = component.step(k, in.step), expected = component.run(in.all(k));
      EXPECT_EQ(found.size(), 2u);
      EXPECT_LT(rel_l2(found.at("y"), expected.at("y")), 1e-6) << hoist << " " << k;
      EXPECT_TRUE(equal_bytes(found.at("pooled"), expected.at("pooled")));
    }
  }
}

TEST(Component, AllStepsOfAScheduleRunAsOneBatch) {
  const Inputs in;
  Component component(by_rate(), {});
  component.begin(in.request, in.schedule);
  component.step(0, in.step);
  for (const char* stage : {"schedule", "trajectory"}) {
    ASSERT_NE(plan_of(component, stage), nullptr) << stage;
    EXPECT_EQ(plan_of(component, stage)->bindings.at("B"), kBatch * kSteps) << stage;
  }
  EXPECT_EQ(plan_of(component, "request")->bindings.at("B"), kBatch);
  EXPECT_EQ(plan_of(component, "step")->bindings.at("B"), kBatch);
  // Of the graph's three linears one is left.
  const auto& nodes = plan_of(component, "step")->nodes;
  EXPECT_EQ(std::count_if(nodes.begin(), nodes.end(),
                          [](const PlannedNode& n) { return n.call.op == Op::linear; }),
            1);
}

// Rows that depend on each other cannot be stacked: here samples are concatenated along axis 0.
TEST(Component, AScheduleThatCannotBeStackedRunsStepByStep) {
  Graph graph;
  graph.name = "mixed";
  const Dim b = Dim::symbol("B");
  const ValueId t = graph.add_input("t", DType::f32, {b, 2}, Rate::schedule);
  const ValueId x = graph.add_input("x", DType::f32, {Dim(2) * b, 2}, Rate::step);
  const ValueId twice = graph.add(Op::concat, {t, t}, {{"axis", int64_t{0}}}, "twice");
  const ValueId s = graph.add(Op::silu, {twice}, {}, "s");
  graph.add_output("y", graph.add(Op::add, {x, s}, {}, "y"));
  Component component(graph, {});
  std::vector<TensorMap> schedule;
  for (uint64_t k = 0; k < 3; ++k) schedule.push_back({{"t", test::random_tensor({2, 2}, k)}});
  component.begin({}, schedule);
  const TensorMap step{{"x", test::random_tensor({4, 2}, 9)}};
  for (size_t k = 0; k < 3; ++k) {
    TensorMap all = schedule[k];
    all.insert(step.begin(), step.end());
    EXPECT_TRUE(equal_bytes(component.step(k, step).at("y"), component.run(all).at("y"))) << k;
  }
  ASSERT_NE(plan_of(component, "schedule"), nullptr);
  EXPECT_EQ(plan_of(component, "schedule")->bindings.at("B"), 2);
}

TEST(Component, ObserversSeeTheSameWithAndWithoutHoisting) {
  const Inputs in;
  std::vector<TensorMap> seen;
  for (bool hoist : {true, false}) {
    ComponentOptions options;
    options.hoist = hoist;
    options.taps = {"*"};
    Component component(by_rate(), options);
    EXPECT_EQ(component.tapped().size(), 3u + 8u);  // inputs and nodes, not weights
    component.begin(in.request, in.schedule);
    seen.emplace_back();
    component.step(3, in.step, [&](const std::string& name, const Tensor& tensor) {
      EXPECT_TRUE(seen.back().emplace(name, tensor.clone()).second) << name;
    });
    EXPECT_EQ(seen.back().size(), component.tapped().size());
    EXPECT_EQ(component.step(3, in.step).size(), 2u);  // taps are not results
  }
  for (const auto& [name, tensor] : seen[0]) {
    EXPECT_EQ(tensor.shape(), seen[1].at(name).shape()) << name;
    EXPECT_LT(rel_l2(tensor, seen[1].at(name)), 1e-6) << name;
  }
}

TEST(Component, ProfileTellsHoistedNodes) {
  const Inputs in;
  Component component(by_rate(), {});
  component.set_profiling(true);
  component.begin(in.request, in.schedule);
  for (size_t k = 0; k < 4; ++k) component.step(k, in.step);
  int64_t hoisted = 0, every_step = 0;
  for (const NodeProfile& row : component.profile()) {
    if (row.op != "linear") continue;
    (row.every_step ? every_step : hoisted) += row.calls;
  }
  EXPECT_EQ(hoisted, 2);
  EXPECT_EQ(every_step, 4);
}

TEST(Component, PlansAreKeptForFewShapes) {
  Component component(by_rate(), {});
  const auto run = [&](int64_t batch) {
    component.run({{"prompt", test::random_tensor({batch, 4}, 1)},
                   {"t", test::random_tensor({batch}, 2)},
                   {"x", test::random_tensor({batch, 4}, 3)}});
  };
  run(1);
  const auto first = component.plans().at(0);
  run(2);
  run(1);
  EXPECT_EQ(component.plans().size(), 2u);
  EXPECT_EQ(component.plans().at(0), first);  // used last, and not made again
  const auto second = component.plans().at(1);
  for (size_t n = 0; n < first->nodes.size(); ++n) {  // packed weights are there once
    EXPECT_EQ(first->nodes[n].state, second->nodes[n].state) << first->nodes[n].call.name;
  }
  EXPECT_GT(component.resident_bytes(), size_t{4 * (4 + 16 + 16)});
  for (int64_t batch = 1; batch < 20; ++batch) run(batch);
  EXPECT_LT(component.plans().size(), 10u);
}

TEST(Component, MisuseIsRefused) {
  const Inputs in;
  Component component(by_rate(), {});
  expect_error(kArgument, {"by_rate", "step 0", "begin() first"},
               [&] { component.step(0, in.step); });
  expect_error(kArgument, {"no steps"}, [&] { component.begin(in.request, {}); });
  expect_error(kArgument, {"\"prompt\" is missing", "f32[B, 4]"},
               [&] { component.begin({}, in.schedule); });
  expect_error(kArgument, {"\"x\"", "step()"}, [&] { component.begin(in.step, in.schedule); });
  expect_error(kArgument, {"\"nothing\"", "prompt, t, x"}, [&] {
    component.begin({{"nothing", in.step.at("x")}}, in.schedule);
  });
  component.begin(in.request, in.schedule);
  expect_error(kArgument, {"step 5 of a schedule of 5"}, [&] { component.step(5, in.step); });
  expect_error(kArgument, {"\"x\" is missing"}, [&] { component.step(0, {}); });
  expect_error(kArgument, {"\"t\"", "schedule"}, [&] { component.step(0, in.schedule[0]); });
  expect_error(kArgument, {"dimension 0 is 2", "B"}, [&] {
    component.step(0, {{"x", test::random_tensor({2, 4}, 1)}});
  });
  expect_error(kArgument, {"\"t\" is missing"}, [&] { component.run(in.request); });
  ComponentOptions options;
  options.disabled_passes = {"no_such_pass"};
  expect_error(kArgument, {"no_such_pass", "dead_code"}, [&] { Component(by_rate(), options); });
}

TEST(Component, InputsWithDefaultsMayBeLeftOut) {
  const test::GoldenCase golden("t5_encoder");
  TensorMap inputs = golden.calls().at(0).inputs;
  Component component(golden.build("forward"), {});
  Tensor& mask = inputs.at("attention_mask");
  mask = Tensor::empty(mask.dtype(), mask.shape());
  std::fill_n(mask.as_mutable<int64_t>(), mask.elements(), 1);
  const Tensor expected = component.run(inputs).at("last_hidden_state");
  inputs.erase("attention_mask");
  EXPECT_TRUE(equal_bytes(component.run(inputs).at("last_hidden_state"), expected));
}

TEST(Component, AModelWithoutWeightsCannotRun) {
  const test::GoldenCase golden("t5_encoder");
  const TensorMap inputs = golden.calls().at(0).inputs;
  Component component(golden.build_without_weights("forward"), {});
  expect_error(kArgument, {"no data", "config alone"}, [&] { component.run(inputs); });
}

}  // namespace
}  // namespace octavo
