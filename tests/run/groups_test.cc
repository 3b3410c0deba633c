// Nodes that share launches: same results, whatever was brought together.
#include "plan/expect_error.h"
#include "run/fake_kernels.h"
#include "run/random_graph.h"

namespace octavo::test {
namespace {

PlanOptions grouped(bool reuse = true) {
  return {.reuse_memory = reuse, .select = FakeKernels::select};
}

// Launches of more than one node, as the names of their members.
std::vector<std::vector<std::string>> groups(const Plan& plan) {
  std::vector<std::vector<std::string>> result;
  for (const Launch& launch : plan.launches) {
    if (launch.count == 1) continue;
    result.emplace_back();
    for (size_t n = launch.first; n < launch.first + launch.count; ++n) {
      result.back().push_back(plan.nodes[n].call.name);
    }
  }
  return result;
}

// All nodes once, makers before users, members of a launch apart.
void check_order(const Plan& plan) {
  std::vector<bool> made(plan.graph.values().size(), false);
  for (size_t v = 0; v < made.size(); ++v) made[v] = plan.graph.values()[v].producer < 0;
  size_t next = 0;
  for (const Launch& launch : plan.launches) {
    ASSERT_EQ(launch.first, next);
    next += launch.count;
    size_t workspace = 0;
    for (size_t n = launch.first; n < next; ++n) {
      const Node& node = plan.graph.nodes()[n];
      EXPECT_EQ(plan.nodes[n].output_values, node.outputs);
      EXPECT_EQ(plan.nodes[n].kernel, plan.nodes[launch.first].kernel);
      for (ValueId v : node.inputs) EXPECT_TRUE(v == kNoValue || made[static_cast<size_t>(v)]);
      EXPECT_GE(plan.nodes[n].workspace_offset, workspace);
      workspace = plan.nodes[n].workspace_offset + plan.nodes[n].workspace_bytes;
    }
    EXPECT_LE(workspace, plan.workspace_bytes);
    for (size_t n = launch.first; n < next; ++n) {
      for (ValueId v : plan.graph.nodes()[n].outputs) {
        made[static_cast<size_t>(v)] = true;
        EXPECT_EQ(plan.graph.value(v).producer, static_cast<NodeId>(n));
      }
    }
  }
  EXPECT_EQ(next, plan.graph.nodes().size());
}

TEST(Groups, RandomGraphsMeanWhatTheirNodesMean) {
  size_t members = 0, in_place = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Graph graph = RandomGraph(seed).graph;
    const TensorMap inputs{{"x", random_tensor({4, 6}, seed + 1000)},
                           {"y", random_tensor({4, 6}, seed + 2000)}};
    const TensorMap expected = interpret(graph, inputs);
    for (const bool reuse : {true, false}) {
      const auto plan = make_plan(graph, {}, grouped(reuse));
      check_order(*plan);
      Executor executor(plan);
      for (int repeat = 0; repeat < 2; ++repeat) {  // in both orders
        const TensorMap found = executor.run(inputs);
        for (const auto& [name, tensor] : expected) {
          ASSERT_TRUE(equal_bytes(found.at(name), tensor)) << seed << " " << name << "\n"
                                                           << describe(*plan);
        }
      }
      for (const Launch& launch : plan->launches) {
        if (launch.count == 1) continue;
        members += launch.count;
        for (size_t n = launch.first; n < launch.first + launch.count; ++n) {
          const Slot &from = plan->nodes[n].inputs[0], &to = plan->nodes[n].outputs[0];
          in_place +=
              from.kind == Slot::Kind::arena && to.kind == from.kind && to.offset == from.offset;
        }
      }
    }
  }
  EXPECT_GT(members, 300u);  // or the test does not test it
  EXPECT_GT(in_place, 20u);
}

TEST(Groups, ObserversSeeEveryMember) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Graph graph = RandomGraph(seed).graph;
    PlanOptions options = grouped();
    std::set<std::string> made;
    for (const Node& node : graph.nodes()) {
      const std::string name = graph.value(node.outputs[0]).name;
      made.insert(name);
      graph.add_output("seen." + name, node.outputs[0]);
      options.observed.insert("seen." + name);
    }
    const TensorMap inputs{{"x", random_tensor({4, 6}, seed + 1)},
                           {"y", random_tensor({4, 6}, seed + 2)}};
    const TensorMap expected = interpret(graph, inputs);
    Executor executor(make_plan(graph, {}, options));
    executor.run(inputs, [&](const std::string& name, const Tensor& t) {
      EXPECT_EQ(made.erase(name), 1u) << name;
      EXPECT_TRUE(equal_bytes(t, expected.at("seen." + name))) << seed << " " << name;
    });
    EXPECT_TRUE(made.empty());
  }
}

// Two streams that meet in the middle, as in a block of Flux, one written after the other.
struct TwoStreams {
  TwoStreams() {
    graph.name = "streams";
    const ValueId a = graph.add_input("a", DType::f32, symbolic({1, 4, 16}), Rate::step);
    const ValueId b = graph.add_input("b", DType::f32, symbolic({1, 2, 16}), Rate::step);
    const ValueId from_a = begin(a, "a"), from_b = begin(b, "b");
    const ValueId both = graph.add(Op::concat, {from_b, from_a}, {{"axis", int64_t{1}}}, "both");
    const ValueId mixed = graph.add(Op::gelu, {both}, {{"approximate", "tanh"}}, "mixed");
    graph.add_output("a_out", end(part(mixed, 2, 6, "a.part"), a, "a"));
    graph.add_output("b_out", end(part(mixed, 0, 2, "b.part"), b, "b"));
  }
  ValueId weight(const std::string& name, int64_t out, int64_t in) {
    return graph.add_constant(name + ".w", random_tensor({out, in}, graph.values().size()));
  }
  ValueId linear(ValueId x, const std::string& name, int64_t out, int64_t in) {
    return graph.add(Op::linear, {x, weight(name, out, in)}, {}, name);
  }
  ValueId begin(ValueId x, const std::string& s) {
    const ValueId normed = graph.add(Op::layer_norm, {x}, {{"eps", 1e-6}}, s + ".norm");
    const ValueId q = graph.add(Op::silu, {linear(normed, s + ".q", 16, 16)}, {}, s + ".q.act");
    const ValueId k = graph.add(Op::silu, {linear(normed, s + ".k", 16, 16)}, {}, s + ".k.act");
    return graph.add(Op::mul, {q, k}, {}, s + ".qk");
  }
  ValueId part(ValueId x, int64_t from, int64_t to, const std::string& name) {
    return graph.add(Op::slice, {x}, {{"axis", int64_t{1}}, {"begin", from}, {"end", to}}, name);
  }
  ValueId end(ValueId x, ValueId residual, const std::string& s) {
    const ValueId out = linear(x, s + ".out", 16, 16);
    const ValueId sum = graph.add(Op::add, {out, residual}, {}, s + ".sum");
    const ValueId up = linear(sum, s + ".up", 32, 16);
    return linear(up, s + ".down", 16, 32);
  }
  Graph graph;
};

using Names = std::vector<std::vector<std::string>>;
const Names kOfTwoStreams = {{"a.norm", "b.norm"},
                             {"a.q", "a.k", "b.q", "b.k"},
                             {"a.q.act", "a.k.act", "b.q.act", "b.k.act"},
                             {"a.qk", "b.qk"},
                             {"a.out", "b.out"},
                             {"a.sum", "b.sum"},
                             {"a.up", "b.up"},
                             {"a.down", "b.down"}};

TEST(Groups, StreamsGoSideBySide) {
  const TwoStreams streams;
  const auto plan = make_plan(streams.graph, {}, grouped());
  EXPECT_EQ(groups(*plan), kOfTwoStreams);
  EXPECT_THAT(describe(*plan), testing::HasSubstr("one launch of 4"));
  Executor executor(plan);
  executor.set_profiling(true);
  const TensorMap inputs{{"a", random_tensor({1, 4, 16}, 1)}, {"b", random_tensor({1, 2, 16}, 2)}};
  executor.run(inputs);
  const auto& rows = executor.profile();
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [](const NodeProfile& r) { return r.name == "a.up, b.up"; });
  ASSERT_NE(row, rows.end());
  EXPECT_EQ(row->kernel, "fake x2");
  EXPECT_EQ(row->flops, 2.0 * 6 * 16 * 32);
  EXPECT_EQ(row->calls, 1);
}

bool is_no_sum(std::span<const Call* const> calls) { return calls[0]->op != Op::add; }
Selection select_without_sums(const Call& call, bool) {
  static std::map<Op, Kernel> made;
  Kernel& kernel = made.try_emplace(call.op, FakeKernels::of(call.op)).first->second;
  kernel.can_group = is_no_sum;
  return {&kernel, {}};
}

TEST(Groups, AreWhatKernelsAgreeTo) {
  const TwoStreams streams;
  Names expected = kOfTwoStreams;
  std::erase(expected, std::vector<std::string>{"a.sum", "b.sum"});
  // b.sum, which does not share its launch, comes along with b.up.
  EXPECT_EQ(groups(*make_plan(streams.graph, {}, {.select = select_without_sums})), expected);
}

TEST(Groups, MayBeSwitchedOff) {
  const TwoStreams streams;
  PlanOptions options = grouped();
  options.group = false;
  const auto plan = make_plan(streams.graph, {}, options);
  EXPECT_EQ(groups(*plan), Names{});
  for (size_t n = 0; n < plan->nodes.size(); ++n) {
    EXPECT_EQ(plan->graph.value(plan->graph.nodes()[n].outputs[0]).name,
              streams.graph.value(streams.graph.nodes()[n].outputs[0]).name);
  }
  setenv("OCTAVO_PLAN_GROUP", "0", 1);
  EXPECT_EQ(groups(*make_plan(streams.graph, {}, grouped())), Names{});
  setenv("OCTAVO_PLAN_GROUP", "no", 1);
  expect_error(ErrorCode::invalid_argument, {"OCTAVO_PLAN_GROUP", "no", "0 or 1"},
               [&] { make_plan(streams.graph, {}, grouped()); });
  unsetenv("OCTAVO_PLAN_GROUP");
}

}  // namespace
}  // namespace octavo::test
