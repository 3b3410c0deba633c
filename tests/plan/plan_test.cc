#include "plan/plan.h"

#include <set>

#include "plan/expect_error.h"
#include "plan/state_cache.h"

namespace octavo {
namespace {

using test::expect_error;
using Kind = Slot::Kind;

const PlannedNode& node_named(const Plan& plan, const std::string& name) {
  for (const PlannedNode& node : plan.nodes) {
    if (node.call.name == name) return node;
  }
  OCTAVO_FAIL(internal, "no node {}", name);
}

// x -> linear -> silu -> reshape -> add -> output, and x itself as a second output.
Graph small_graph() {
  Graph graph;
  graph.name = "small";
  const Dim b = Dim::symbol("B");
  const ValueId x = graph.add_input("x", DType::f32, {b, 8}, Rate::step);
  const ValueId w = graph.add_constant("w", test::random_tensor({16, 8}, 1));
  const ValueId y = graph.add(Op::linear, {x, w}, {}, "y");
  const ValueId a = graph.add(Op::silu, {y}, {}, "a");
  const ValueId r = graph.add(Op::reshape, {a}, {{"shape", SymShape{b, 4, 4}}}, "r");
  const ValueId s = graph.add(Op::add, {r, r}, {}, "s");
  const ValueId z = graph.add(Op::affine, {s}, {{"scale", 2.0}, {"shift", 1.0}}, "z");
  graph.add_output("result", z);
  graph.add_output("same", x);
  return graph;
}

TEST(Plan, ReshapeIsAnAliasAndElementWiseWorksInPlace) {
  const auto plan = make_plan(small_graph(), {{"B", 3}}, {.reference_kernels = true});
  ASSERT_EQ(plan->nodes.size(), 5u);
  const PlannedNode &y = node_named(*plan, "y"), &a = node_named(*plan, "a");
  const PlannedNode &r = node_named(*plan, "r"), &s = node_named(*plan, "s");
  const PlannedNode& z = node_named(*plan, "z");
  EXPECT_EQ(r.kernel, nullptr);
  EXPECT_EQ(r.outputs[0].kind, Kind::arena);
  EXPECT_EQ(a.outputs[0].offset, y.outputs[0].offset);  // in place
  EXPECT_EQ(r.outputs[0].offset, a.outputs[0].offset);  // alias
  // add(r, r) may not overwrite an operand that is read twice; its own memory is the output's.
  EXPECT_EQ(s.outputs[0].kind, Kind::output);
  EXPECT_EQ(z.outputs[0].kind, Kind::output);
  EXPECT_EQ(z.outputs[0].offset, 0u);
  EXPECT_EQ(plan->arena_bytes, 192u);         // one buffer of 3 x 16 floats
  ASSERT_EQ(plan->output_copies.size(), 1u);  // "same" is an input
  EXPECT_EQ(plan->output_copies[0].output, 1u);
  EXPECT_EQ(plan->output_copies[0].from.kind, Kind::input);
}

TEST(Plan, WithoutReuseEveryValueHasItsOwnMemory) {
  const PlanOptions options{.reference_kernels = true, .reuse_memory = false};
  const auto plan = make_plan(small_graph(), {{"B", 3}}, options);
  std::set<size_t> offsets;
  for (const PlannedNode& node : plan->nodes) {
    if (node.kernel != nullptr && node.outputs[0].kind == Kind::arena) {
      EXPECT_TRUE(offsets.insert(node.outputs[0].offset).second) << node.call.name;
    }
  }
  EXPECT_EQ(offsets.size(), 3u);  // y, a, s; z is the output
  EXPECT_EQ(plan->arena_bytes, 3 * 192u);
}

TEST(Plan, WorkIsCounted) {
  const auto plan = make_plan(small_graph(), {{"B", 3}}, {.reference_kernels = true});
  const PlannedNode& y = node_named(*plan, "y");
  EXPECT_EQ(y.flops, 2.0 * 3 * 8 * 16);
  EXPECT_EQ(y.bytes, 4 * (3 * 8 + 16 * 8 + 3 * 16));
  EXPECT_EQ(y.kernel->op, Op::linear);
  EXPECT_GE(resident_bytes({&plan, 1}), plan->arena_bytes + 16 * 8 * 4);
}

TEST(Plan, SymbolsAreGoneFromCalls) {
  const auto plan = make_plan(small_graph(), {{"B", 3}}, {});
  for (const SymShape& shape : {node_named(*plan, "r").call.attrs.get_dims("shape")}) {
    EXPECT_TRUE(is_constant(shape));
    EXPECT_EQ(evaluate(shape, {}), (Shape{3, 4, 4}));
  }
}

TEST(Plan, IsDeterministicAndDescribesItself) {
  const std::string text =
      describe(*make_plan(small_graph(), {{"B", 3}}, {.reference_kernels = true}));
  EXPECT_EQ(text, describe(*make_plan(small_graph(), {{"B", 3}}, {.reference_kernels = true})));
  for (const char* part :
       {"plan of small (B = 3)", "y: linear_ref", "r: alias", "-> f32[3, 4, 4] out 0"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
}

TEST(Plan, ObservedOutputsAreNotReturned) {
  Graph graph = small_graph();
  graph.add_output("tap", *graph.find("y"));
  const auto kept = make_plan(graph, {{"B", 3}}, {.reference_kernels = true});
  EXPECT_EQ(kept->outputs.size(), 3u);
  EXPECT_EQ(node_named(*kept, "y").outputs[0].kind, Kind::output);
  PlanOptions options{.reference_kernels = true};
  options.observed = {"tap"};
  const auto plan = make_plan(graph, {{"B", 3}}, options);
  ASSERT_EQ(plan->outputs.size(), 2u);
  EXPECT_EQ(plan->outputs[0].name, "result");
  EXPECT_EQ(plan->outputs[1].name, "same");
  EXPECT_EQ(node_named(*plan, "y").outputs[0].kind, Kind::arena);
}

TEST(Plan, RefusalsOfBetterKernelsAreKept) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::f32, {2, 8}, Rate::step);
  const ValueId w = graph.add_input("w", DType::f32, {4, 8}, Rate::step);  // nothing to pack
  graph.add_output("y", graph.add(Op::linear, {x, w}, {}, "y"));
  const auto plan = make_plan(graph, {}, {});
  EXPECT_STREQ(plan->nodes[0].kernel->name, "linear_ref");
  ASSERT_FALSE(plan->nodes[0].refusals.empty());
  EXPECT_THAT(plan->nodes[0].refusals, testing::Contains(testing::HasSubstr("linear_f32_onednn")));
  EXPECT_THAT(describe(*plan), testing::HasSubstr("not " + plan->nodes[0].refusals[0]));
}

class PlanEnvironment : public testing::Test {
 protected:
  ~PlanEnvironment() override { unsetenv("OCTAVO_KERNELS"), unsetenv("OCTAVO_PLAN_REUSE"); }
};

TEST_F(PlanEnvironment, ChoosesKernelsAndMemory) {
  const auto planned = [] { return make_plan(small_graph(), {{"B", 3}}, {}); };
  const size_t reused = planned()->arena_bytes;
  setenv("OCTAVO_KERNELS", "ref", 1);
  setenv("OCTAVO_PLAN_REUSE", "0", 1);
  const auto plan = planned();
  for (const PlannedNode& node : plan->nodes) {
    if (node.kernel == nullptr) continue;
    EXPECT_THAT(node.kernel->name, testing::EndsWith("_ref"));
  }
  EXPECT_GT(plan->arena_bytes, reused);
  setenv("OCTAVO_KERNELS", "slow", 1);
  expect_error(ErrorCode::invalid_argument, {"OCTAVO_KERNELS", "slow", "ref or fast"}, planned);
  setenv("OCTAVO_KERNELS", "fast", 1);
  setenv("OCTAVO_PLAN_REUSE", "yes", 1);
  expect_error(ErrorCode::invalid_argument, {"OCTAVO_PLAN_REUSE", "yes", "0 or 1"}, planned);
}

TEST(Plan, ErrorsAreClear) {
  expect_error(ErrorCode::internal, {"small", "B", "not bound"},
               [] { make_plan(small_graph(), {}, {}); });
  Graph graph;
  graph.name = "empty";
  const ValueId x = graph.add_input("x", DType::f32, {2, 8}, Rate::step);
  const ValueId w = graph.add_constant("the.weight", Tensor::typed(DType::f32, {4, 8}));
  graph.add_output("y", graph.add(Op::linear, {x, w}, {}, "y"));
  expect_error(ErrorCode::invalid_argument, {"the.weight", "no data"},
               [&] { make_plan(graph, {}, {}); });
}

// A kernel that counts its preparations.
int prepared = 0;
struct FakeState : KernelState {
  size_t bytes() const override { return 100; }
};
std::shared_ptr<const KernelState> prepare_fake(const Call&) {
  ++prepared;
  return std::make_shared<FakeState>();
}
const Kernel kFake{"fake", Op::linear, nullptr, prepare_fake, nullptr, nullptr, false};

TEST(StateCache, SameProblemIsPreparedOnceWhileInUse) {
  const Tensor w = test::random_tensor({4, 8}, 1), other = test::random_tensor({4, 8}, 1);
  const auto call = [](const Tensor& weight, int64_t rows, double scale, const char* name) {
    return Call{Op::linear,
                {{"scale", scale}},
                {Operand{DType::f32, {rows, 8}, nullptr}, Operand{DType::f32, {4, 8}, &weight}},
                {Operand{DType::f32, {rows, 4}, nullptr}},
                name};
  };
  StateCache cache;
  prepared = 0;
  auto first = cache.get(kFake, call(w, 2, 1, "a"));
  EXPECT_EQ(cache.get(kFake, call(w, 2, 1, "b")), first);  // the name does not matter
  EXPECT_EQ(prepared, 1);
  EXPECT_NE(cache.get(kFake, call(other, 2, 1, "a")), first);
  EXPECT_EQ(cache.get(kFake, call(w, 3, 1, "a")), first);  // nor do the rows
  EXPECT_NE(cache.get(kFake, call(w, 2, std::nextafter(1.0, 2), "a")), first);
  EXPECT_EQ(prepared, 3);
  first.reset();  // nobody needs it
  cache.get(kFake, call(w, 2, 1, "a"));
  EXPECT_EQ(prepared, 4);
}

}  // namespace
}  // namespace octavo
