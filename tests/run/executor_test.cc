#include "run/executor.h"

#include <cmath>
#include <limits>

#include "plan/call.h"
#include "plan/expect_error.h"

namespace octavo {
namespace {

using test::equal_bytes;
using test::expect_error;
using test::Random;

// What a graph means: every node by itself, through the reference kernels.
TensorMap interpret(const Graph& graph, const TensorMap& inputs) {
  std::vector<Tensor> values(graph.values().size());
  for (size_t v = 0; v < values.size(); ++v) {
    const Value& value = graph.values()[v];
    if (value.constant) values[v] = *value.constant;
    if (const auto found = inputs.find(value.name); found != inputs.end())
      values[v] = found->second;
  }
  for (const Node& node : graph.nodes()) {
    std::vector<Tensor> operands;
    for (ValueId id : node.inputs) {
      operands.push_back(id == kNoValue ? Tensor() : values[static_cast<size_t>(id)]);
    }
    const auto results = evaluate_node(graph, node, operands, true);
    for (size_t k = 0; k < results.size(); ++k) {
      values[static_cast<size_t>(node.outputs[k])] = results[k];
    }
  }
  TensorMap outputs;
  for (const Graph::Output& output : graph.outputs()) {
    outputs[output.name] = values[static_cast<size_t>(output.value)];
  }
  return outputs;
}

// A random graph over [4, 6] tensors: in-place ops, chains of reshapes, slices, several uses,
// outputs that are inputs, constants, aliases or the same value twice.
class RandomGraph {
 public:
  explicit RandomGraph(uint64_t seed) : random_(seed) {
    graph.name = "random";
    for (const char* name : {"x", "y"}) {
      pool_.push_back(graph.add_input(name, DType::f32, {4, 6}, Rate::step));
    }
    pool_.push_back(graph.add_constant("c", test::random_tensor({4, 6}, seed)));
    for (int64_t n = 3 + random_.below(25); n > 0; --n) pool_.push_back(add_node());
    for (int64_t n = 1 + random_.below(5); n > 0; --n) {
      graph.add_output(graph.unique_name("out" + std::to_string(n)), pick());
    }
  }

  Graph graph;

 private:
  ValueId pick() { return pool_[static_cast<size_t>(random_.below(std::ssize(pool_)))]; }

  ValueId add_node() {
    const std::string name = "n" + std::to_string(pool_.size());
    const ValueId a = pick(), b = pick();
    switch (random_.below(6)) {
      case 0:
        return graph.add(Op::add, {a, b}, {}, name);
      case 1:
        return graph.add(Op::mul, {a, b}, {}, name);
      case 2:
        return graph.add(Op::silu, {a}, {}, name);
      case 3:
        return graph.add(Op::affine, {a}, {{"scale", 0.5}, {"shift", 1.0}}, name);
      case 4: {  // there and back, with work in between
        const ValueId r = graph.add(Op::reshape, {a}, {{"shape", SymShape{24}}}, name + ".flat");
        const ValueId s = random_.below(2) ? graph.add(Op::silu, {r}, {}, name + ".work") : r;
        return graph.add(Op::reshape, {s}, {{"shape", SymShape{4, 6}}}, name);
      }
      default: {
        const Attrs halves{{"axis", int64_t{0}}, {"begin", Dim(2)}, {"end", Dim(4)}};
        const ValueId h = graph.add(Op::slice, {a}, halves, name + ".half");
        return graph.add(Op::concat, {h, h}, {{"axis", int64_t{0}}}, name);
      }
    }
  }

  Random random_;
  std::vector<ValueId> pool_;
};

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
