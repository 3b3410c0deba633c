// Slices and concats that need no kernel: where they are contiguous, and what they must not do.
#include <gtest/gtest.h>

#include "plan/plan.h"
#include "run/executor.h"
#include "support.h"

namespace octavo::test {
namespace {

// Two computed values [b, 8, 16], and what a test makes of them.
struct Pieces {
  explicit Pieces(int64_t b) {
    graph.name = "views";
    x = graph.add_input("x", DType::f32, symbolic({b, 8, 16}), Rate::step);
    doubled = graph.add(Op::add, {x, x}, {}, "doubled");
    squared = graph.add(Op::mul, {x, x}, {}, "squared");
    input = Tensor::empty(DType::f32, {b, 8, 16});
    Random random(1);
    for (int64_t i = 0; i < input.elements(); ++i) input.as_mutable<float>()[i] = random.normal();
  }
  ValueId concat(std::vector<ValueId> parts, int64_t axis) {
    return graph.add(Op::concat, std::move(parts), {{"axis", axis}}, "joined");
  }
  ValueId slice(ValueId v, int64_t begin, int64_t end) {
    return graph.add(Op::slice, {v}, {{"axis", int64_t{1}}, {"begin", begin}, {"end", end}},
                     "part");
  }
  // The kernels that run, in order.
  std::vector<std::string> kernels() const {
    std::vector<std::string> names;
    const auto plan = make_plan(graph, {}, {});
    for (const PlannedNode& node : plan->nodes) {
      if (node.kernel) names.emplace_back(name(node.call.op));
    }
    return names;
  }
  TensorMap run(bool reuse) const {
    Executor executor(make_plan(graph, {}, {.reference_kernels = true, .reuse_memory = reuse}));
    return executor.run({{"x", input}});
  }
  // The same with all views, and with a kernel for every concat.
  void expect_same() const {
    const TensorMap views = run(true), copies = run(false);
    for (const auto& [name, tensor] : copies) EXPECT_TRUE(equal_bytes(views.at(name), tensor));
  }

  Graph graph;
  ValueId x, doubled, squared;
  Tensor input;
};

TEST(Views, ConcatOfOneSampleIsWrittenInPlace) {
  Pieces p(1);
  const ValueId joined = p.concat({p.doubled, p.squared}, 1);
  const ValueId part = p.slice(joined, 4, 12);
  p.graph.add_output("y", p.graph.add(Op::silu, {part}, {}, "y"));
  p.graph.add_output("z", p.graph.add(Op::silu, {p.doubled}, {}, "z"));  // a part, used later
  EXPECT_EQ(p.kernels(), (std::vector<std::string>{"add", "mul", "silu", "silu"}));
  p.expect_same();
}

TEST(Views, ConcatsNest) {
  Pieces p(1);
  const ValueId inner = p.concat({p.squared, p.doubled}, 1);
  const ValueId third = p.graph.add(Op::silu, {p.x}, {}, "third");
  const ValueId outer = p.concat({third, inner}, 1);
  p.graph.add_output("y", p.graph.add(Op::silu, {outer}, {}, "y"));
  EXPECT_EQ(p.kernels(), (std::vector<std::string>{"add", "mul", "silu", "silu"}));
  p.expect_same();
}

TEST(Views, SamplesApartAreCopied) {
  Pieces p(2);
  const ValueId joined = p.concat({p.doubled, p.squared}, 1);
  p.graph.add_output("y", p.graph.add(Op::silu, {p.slice(joined, 4, 12)}, {}, "y"));
  EXPECT_EQ(p.kernels(), (std::vector<std::string>{"add", "mul", "concat", "slice", "silu"}));
  p.expect_same();
}

TEST(Views, WhatIsNotTheirsToMoveIsCopied) {
  Pieces input(1), twice(1), output(1), two_joins(1);
  const auto finish = [](Pieces& p, ValueId v) {
    p.graph.add_output("y", p.graph.add(Op::silu, {v}, {}, "y"));
    p.expect_same();
    return p.kernels();
  };
  using Names = std::vector<std::string>;
  const Names copied{"add", "mul", "concat", "silu"};
  EXPECT_EQ(finish(input, input.concat({input.x, input.doubled}, 1)), copied) << "from outside";
  EXPECT_EQ(finish(twice, twice.concat({twice.doubled, twice.doubled}, 1)), copied);
  output.graph.add_output("doubled", output.doubled);
  EXPECT_EQ(finish(output, output.concat({output.doubled, output.squared}, 1)), copied)
      << "it leaves the plan by itself";
  const ValueId first = two_joins.concat({two_joins.doubled, two_joins.squared}, 1);
  two_joins.graph.add_output("first", two_joins.graph.add(Op::silu, {first}, {}, "first"));
  EXPECT_EQ(finish(two_joins, two_joins.concat({two_joins.squared, two_joins.doubled}, 1)),
            (Names{"add", "mul", "silu", "concat", "silu"}))
      << "they are within another already";
}

TEST(Views, OutputsThatArePartsAreCopiedOut) {
  Pieces p(1);
  const ValueId joined = p.concat({p.doubled, p.squared}, 1);
  p.graph.add_output("part", p.slice(joined, 8, 16));
  p.graph.add_output("all", joined);
  p.graph.add_output("input_part", p.slice(p.x, 2, 4));
  p.expect_same();
}

}  // namespace
}  // namespace octavo::test
