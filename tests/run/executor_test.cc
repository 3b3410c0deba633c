#include "run/executor.h"

#include <cmath>
#include <limits>

#include "plan/expect_error.h"
#include "run/random_graph.h"

namespace octavo {
namespace {

using test::equal_bytes;
using test::expect_error;
using test::interpret;
using test::RandomGraph;

TEST(Executor, RandomGraphsMeanWhatTheirNodesMean) {
  size_t in_place = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Graph graph = RandomGraph(seed).graph;
    const TensorMap inputs{{"x", test::random_tensor({4, 6}, seed + 1000)},
                           {"y", test::random_tensor({4, 6}, seed + 2000)}};
    const TensorMap before{{"x", inputs.at("x").clone()}, {"y", inputs.at("y").clone()}};
    const TensorMap expected = interpret(graph, inputs);
    for (bool reuse : {true, false}) {
      const auto plan = make_plan(graph, {}, {.reference_kernels = true, .reuse_memory = reuse});
      Executor executor(plan);
      for (int repeat = 0; repeat < 2; ++repeat) {
        const TensorMap found = executor.run(inputs);
        ASSERT_EQ(found.size(), expected.size());
        for (const auto& [name, tensor] : expected) {
          ASSERT_TRUE(equal_bytes(found.at(name), tensor)) << seed << " " << name << "\n"
                                                           << describe(*plan);
        }
      }
      for (const PlannedNode& node : plan->nodes) {
        in_place += node.kernel && node.inputs[0].kind == node.outputs[0].kind &&
                    node.inputs[0].offset == node.outputs[0].offset;
      }
    }
    for (const auto& [name, tensor] : before) ASSERT_TRUE(equal_bytes(tensor, inputs.at(name)));
  }
  EXPECT_GT(in_place, 300u);  // or the test does not test it
}

TEST(Executor, ObserversSeeEveryValueWhenItIsMade) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Graph graph = RandomGraph(seed).graph;
    std::set<std::string> made;
    PlanOptions options{.reference_kernels = true};
    for (const Node& node : graph.nodes()) {
      const std::string name = graph.value(node.outputs[0]).name;
      made.insert(name);
      graph.add_output("seen." + name, node.outputs[0]);
    }
    const TensorMap inputs{{"x", test::random_tensor({4, 6}, seed + 1)},
                           {"y", test::random_tensor({4, 6}, seed + 2)}};
    const TensorMap expected = interpret(graph, inputs);
    for (const std::string& name : made) options.observed.insert("seen." + name);
    Executor executor(make_plan(graph, {}, options));
    const TensorMap results = executor.run(inputs, [&](const std::string& name, const Tensor& t) {
      EXPECT_EQ(made.erase(name), 1u) << name;
      EXPECT_TRUE(equal_bytes(t, expected.at("seen." + name))) << seed << " " << name;
    });
    EXPECT_TRUE(made.empty());
    for (const auto& [name, tensor] : results) EXPECT_FALSE(name.starts_with("seen."));
  }
}

Graph double_it() {
  Graph graph;
  graph.name = "double_it";
  const ValueId x = graph.add_input("x", DType::f32, {3}, Rate::step);
  graph.add_output("y", graph.add(Op::affine, {x}, {{"scale", 2.0}, {"shift", 0.0}}, "y"));
  return graph;
}

TEST(Executor, InputsAreChecked) {
  Executor executor(make_plan(double_it(), {}, {}));
  const auto expect = [&](std::initializer_list<std::string> parts, const TensorMap& inputs) {
    expect_error(ErrorCode::invalid_argument, parts, [&] { executor.run(inputs); });
  };
  expect({"double_it", "\"x\" is missing", "f32[3]"}, {});
  expect({"\"x\" is missing"}, {{"x", Tensor::typed(DType::f32, {3})}});
  expect({"\"x\" is f32[4]", "expected f32[3]"}, {{"x", Tensor::zeros(DType::f32, {4})}});
  expect({"\"x\" is i32[3]", "expected f32[3]"}, {{"x", Tensor::zeros(DType::i32, {3})}});
  const Tensor fine = Tensor::zeros(DType::f32, {3});
  expect({"\"z\"", "not one of: x"}, {{"x", fine}, {"z", fine}});
  const Tensor nan = Tensor::from({1, std::numeric_limits<float>::quiet_NaN(), 3}, {3});
  EXPECT_TRUE(std::isnan(executor.run({{"x", nan}}).at("y").as<float>()[1]));
}

TEST(Executor, InputsMayStartAnywhere) {
  std::vector<char> bytes(64);
  const float values[] = {1, 2, 3};
  std::memcpy(bytes.data() + 1, values, sizeof(values));
  Executor executor(make_plan(double_it(), {}, {}));
  const Tensor x = Tensor::view(DType::f32, {3}, bytes.data() + 1, nullptr);
  EXPECT_EQ(executor.run({{"x", x}}).at("y").to_floats(), (std::vector<float>{2, 4, 6}));
}

TEST(Executor, OutputsAreFresh) {
  Executor executor(make_plan(double_it(), {}, {}));
  const Tensor first = executor.run({{"x", Tensor::from({1, 2, 3}, {3})}}).at("y");
  executor.run({{"x", Tensor::from({9, 9, 9}, {3})}});
  EXPECT_EQ(first.to_floats(), (std::vector<float>{2, 4, 6}));
}

TEST(Executor, ProfileCountsCalls) {
  Executor executor(make_plan(double_it(), {}, {}));
  const TensorMap inputs{{"x", Tensor::from({1, 2, 3}, {3})}};
  executor.run(inputs);
  ASSERT_EQ(executor.profile().size(), 1u);
  EXPECT_EQ(executor.profile()[0].calls, 0);
  executor.set_profiling(true);
  executor.run(inputs);
  executor.run(inputs);
  const NodeProfile row = executor.profile()[0];
  EXPECT_EQ(row.calls, 2);
  EXPECT_GT(row.seconds, 0);
  EXPECT_EQ(row.name, "y");
  EXPECT_EQ(row.op, "affine");
  EXPECT_EQ(row.bytes, 24);
  executor.set_profiling(false);
  executor.run(inputs);
  EXPECT_EQ(executor.profile()[0].calls, 2);
  executor.set_profiling(true);  // counts anew
  EXPECT_EQ(executor.profile()[0].calls, 0);
}

}  // namespace
}  // namespace octavo
