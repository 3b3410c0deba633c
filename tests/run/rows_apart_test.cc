// Concats along inner axes that need no kernel: their parts are written as rows that lie apart.
#include "plan/expect_error.h"
#include "run/fake_kernels.h"
#include "run/random_graph.h"

namespace octavo::test {
namespace {

constexpr int64_t kBatch = 2, kTokens = 3;

struct Parts {
  Parts() {
    graph.name = "rows";
    x = input("x", {kBatch, kTokens, 16});
    doubled = graph.add(Op::add, {x, x}, {}, "doubled");
    squared = graph.add(Op::mul, {x, x}, {}, "squared");
  }
  ValueId input(const std::string& name, const Shape& shape) {
    inputs[name] = random_tensor(shape, inputs.size() + 1);
    return graph.add_input(name, DType::f32, symbolic(shape), Rate::step);
  }
  ValueId concat(std::vector<ValueId> parts, int64_t axis = 2) {
    return graph.add(Op::concat, std::move(parts), {{"axis", axis}}, "joined");
  }
  void finish(ValueId v) { graph.add_output("y", graph.add(Op::silu, {v}, {}, "y")); }

  PlanOptions options() const { return {.select = FakeKernels::select}; }
  // The ops of the kernels that run, in order, after a look at the results.
  std::vector<std::string> run() const {
    const auto plan = make_plan(graph, {}, options());
    const TensorMap expected = interpret(graph, inputs), found = Executor(plan).run(inputs);
    for (const auto& [name, tensor] : expected) {
      EXPECT_TRUE(equal_bytes(found.at(name), tensor)) << name << "\n" << describe(*plan);
    }
    std::vector<std::string> ops;
    for (const PlannedNode& node : plan->nodes) {
      if (node.kernel) ops.emplace_back(name(node.call.op));
    }
    return ops;
  }

  Graph graph;
  ValueId x, doubled, squared;
  TensorMap inputs;
};

using Ops = std::vector<std::string>;
const Ops kJoined{"add", "mul", "silu"}, kCopied{"add", "mul", "concat", "silu"};

TEST(RowsApart, ConcatsOfLastAxesNeedNoKernel) {
  Parts p;
  p.finish(p.concat({p.squared, p.doubled}));
  const int64_t before = FakeKernels::rows_apart;
  EXPECT_EQ(p.run(), kJoined);
  EXPECT_EQ(FakeKernels::rows_apart - before, 2);
  EXPECT_THAT(describe(*make_plan(p.graph, {}, p.options())),
              testing::HasSubstr("a row every 128 bytes"));
}

TEST(RowsApart, HeadsOfAttentionStayTogether) {
  Parts p;
  const Shape shape{kBatch, kTokens, 2, 24};
  const ValueId q = p.input("q", shape), k = p.input("k", shape), v = p.input("v", shape);
  const ValueId y = p.graph.add(Op::attention, {q, k, v}, {{"scale", 0.3}}, "attention");
  const SymShape flat = symbolic({kBatch, kTokens, 48});
  const ValueId rows = p.graph.add(Op::reshape, {y}, {{"shape", flat}}, "rows");
  const ValueId both = p.concat({rows, p.doubled});
  p.finish(p.graph.add(Op::reshape, {both}, {{"shape", symbolic({kBatch * kTokens, 64})}}, "all"));
  EXPECT_EQ(p.run(), (Ops{"add", "mul", "attention", "silu"}));
}

// The whole is itself a part of a contiguous concat.
TEST(RowsApart, JoinsNest) {
  Parts p;
  const ValueId wide = p.input("wide", {kBatch, kTokens, 32});
  const ValueId other = p.graph.add(Op::silu, {wide}, {}, "other");
  p.finish(p.concat({other, p.concat({p.squared, p.doubled})}, 0));
  EXPECT_EQ(p.run(), (Ops{"add", "mul", "silu", "silu"}));
}

TEST(RowsApart, ObserversSeeThemTogether) {
  Parts p;
  const ValueId joined = p.concat({p.squared, p.doubled});
  p.finish(joined);
  PlanOptions options = p.options();
  for (const ValueId v : {p.squared, p.doubled, joined}) {
    const std::string name = "seen." + p.graph.value(v).name;
    p.graph.add_output(name, v);
    options.observed.insert(name);
  }
  const TensorMap expected = interpret(p.graph, p.inputs);
  int seen = 0;
  Executor executor(make_plan(p.graph, {}, options));
  executor.run(p.inputs, [&](const std::string& name, const Tensor& t) {
    const auto found = expected.find("seen." + name);
    if (found == expected.end()) return;
    // A part that observers look at when the whole is made is there, too.
    EXPECT_TRUE(equal_bytes(t, found->second)) << name;
    ++seen;
  });
  EXPECT_EQ(seen, 3);
}

TEST(RowsApart, WhatOthersReadIsCopied) {
  Parts read, output, sliced, reshaped;
  read.finish(read.concat({read.squared, read.doubled}));
  read.graph.add_output("z", read.graph.add(Op::silu, {read.doubled}, {}, "z"));
  EXPECT_EQ(read.run(), (Ops{"add", "mul", "concat", "silu", "silu"}));
  output.finish(output.concat({output.squared, output.doubled}));
  output.graph.add_output("z", output.doubled);
  EXPECT_EQ(output.run(), kCopied);
  const Attrs first{{"axis", int64_t{0}}, {"begin", int64_t{0}}, {"end", int64_t{1}}};
  sliced.finish(sliced.concat({sliced.squared, sliced.doubled}));
  const ValueId part = sliced.graph.add(Op::slice, {sliced.doubled}, first, "part");
  sliced.graph.add_output("z", sliced.graph.add(Op::silu, {part}, {}, "z"));
  EXPECT_EQ(sliced.run(), (Ops{"add", "mul", "concat", "silu", "silu"}));
  reshaped.finish(reshaped.concat({reshaped.squared, reshaped.doubled}));
  const SymShape flat = symbolic({kBatch * kTokens, 16});
  const ValueId other = reshaped.graph.add(Op::reshape, {reshaped.squared}, {{"shape", flat}}, "o");
  reshaped.graph.add_output("z", reshaped.graph.add(Op::silu, {other}, {}, "z"));
  EXPECT_EQ(reshaped.run(), (Ops{"add", "mul", "concat", "silu", "silu"}));
}

TEST(RowsApart, WhatIsNotRowsOfOneKernelIsCopied) {
  Parts outside, twice, blocks, narrow;
  outside.finish(outside.concat({outside.x, outside.doubled}));
  EXPECT_EQ(outside.run(), kCopied) << "from outside";
  twice.finish(twice.concat({twice.doubled, twice.doubled}));
  EXPECT_EQ(twice.run(), kCopied);
  blocks.finish(blocks.concat({blocks.doubled, blocks.squared}, 1));
  EXPECT_EQ(blocks.run(), kCopied) << "several rows lie together";
  const ValueId x = narrow.input("n", {kBatch, kTokens, 8});  // 32 bytes
  const ValueId n = narrow.graph.add(Op::silu, {x}, {}, "narrow");
  narrow.finish(narrow.concat({n, narrow.doubled}));
  EXPECT_EQ(narrow.run(), (Ops{"add", "mul", "silu", "concat", "silu"}));
}

Verdict supports_no_rows_apart(const Call& call) {
  return call.outputs[0].row_pitch ? Verdict::no("rows lie apart") : Verdict::yes();
}
Selection select_dense_adds(const Call& call, bool) {
  static Kernel add = FakeKernels::of(Op::add);
  add.supports = supports_no_rows_apart;
  return {call.op == Op::add ? &add : &FakeKernels::of(call.op), {}};
}

TEST(RowsApart, KernelsAreAsked) {
  Parts p;
  p.finish(p.concat({p.squared, p.doubled}));
  const auto plan = make_plan(p.graph, {}, {.select = select_dense_adds});
  for (const PlannedNode& node : plan->nodes) {
    EXPECT_NE(node.kernel, nullptr) << node.call.name;
    EXPECT_EQ(node.call.outputs[0].row_pitch, 0) << node.call.name;
  }
}

}  // namespace
}  // namespace octavo::test
