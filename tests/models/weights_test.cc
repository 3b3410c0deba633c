// What a checkpoint must hold, and how it is told what is wrong.
#include "base/threads.h"
#include "models/model_source.h"
#include "stores.h"

namespace octavo {
namespace {

using test::expect_error;
using test::golden;
using test::MapStore;

class Weights : public ::testing::Test {
 protected:
  Config config_ = Config::load(golden("t5_encoder") / "config.json");
  const Family& family_ = find_family(config_);
  MapStore store_{test::tensors_of(config_, true)};

  Error check() {
    return test::error_of([&] { check_weights(family_, config_, store_); });
  }
};

TEST_F(Weights, AllAreUsed) {
  check_weights(family_, config_, store_);
  EXPECT_EQ(store_.names().size(), 30u);
  const Graph graph = family_.build(config_, &store_, "forward");
  for (const std::string& name : store_.names()) {
    const std::optional<ValueId> id = graph.find(name);
    ASSERT_TRUE(id) << name;
    EXPECT_FALSE(graph.users(*id).empty()) << name;
    EXPECT_TRUE(test::equal_bytes(*graph.value(*id).constant, store_.tensor(name))) << name;
  }
}

TEST_F(Weights, MissingOnesAreCountedAndNamed) {
  store_.tensors().erase("encoder.block.1.layer.0.SelfAttention.q.weight");
  store_.tensors().erase("shared.weight");
  expect_error(check(), ErrorCode::bad_file,
               {"memory", "T5EncoderModel", "2 of 30 missing",
                "\"encoder.block.1.layer.0.SelfAttention.q.weight\", \"shared.weight\"",
                "0 unexpected", "config.json"});
  expect_error(test::error_of([&] { family_.build(config_, &store_, "forward"); }),
               ErrorCode::bad_file, {"memory", "\"shared.weight\" is missing"});
}

TEST_F(Weights, UnexpectedOnesAreCountedAndNamed) {
  for (int i = 0; i < 6; ++i) {
    store_.tensors()["extra." + std::to_string(i)] = Tensor::scalar(1);
  }
  expect_error(check(), ErrorCode::bad_file,
               {"0 of 30 missing", "6 unexpected: \"extra.0\"", "\"extra.3\", ..."});
}

TEST_F(Weights, IgnorableOnesAreNotUnexpected) {
  store_.tensors()["encoder.embed_tokens.weight"] = store_.tensor("shared.weight");
  store_.tensors()["decoder.block.0.layer.0.SelfAttention.q.weight"] = Tensor::scalar(1);
  check_weights(family_, config_, store_);
}

TEST_F(Weights, AnotherShapeOrType) {
  const std::string name = "encoder.block.0.layer.0.SelfAttention.q.weight";
  store_.tensors()[name] = Tensor::zeros(DType::f32, {64, 48});
  const std::vector<std::string> shape{"memory", name, "[64, 48]", "expected [48, 64]"};
  expect_error(check(), ErrorCode::bad_file, shape);
  expect_error(test::error_of([&] { family_.build(config_, &store_, "forward"); }),
               ErrorCode::bad_file, shape);
  store_.tensors()[name] = Tensor::zeros(DType::i8, {48, 64});
  expect_error(check(), ErrorCode::bad_file, {"memory", name, "i8", "f32 f16 bf16 e4m3 e5m2"});
  store_.tensors()[name] = Tensor::zeros(DType::e4m3, {48, 64});
  check_weights(family_, config_, store_);
}

TEST_F(Weights, NotFiniteOnesAreFound) {
  check_finite(store_);
  const std::string name = "encoder.block.2.layer.1.DenseReluDense.wo.weight";
  for (DType dtype : {DType::f32, DType::bf16, DType::f16, DType::e5m2}) {
    for (float bad :
         {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
          std::numeric_limits<float>::quiet_NaN()}) {
      Tensor tensor = test::random_tensor({64, 112}, 1);
      tensor.as_mutable<float>()[4711] = bad;
      tensor.as_mutable<float>()[7000] = bad;
      store_.tensors()[name] = tensor.to(dtype);
      expect_error(test::error_of([&] { check_finite(store_); }), ErrorCode::not_finite,
                   {"memory", name, "index 4711 of 7168", fmt::format("has {}", bad)});
    }
  }
}

// The lowest index, whoever finds it first; the last element of a chunk and of the tensor.
TEST_F(Weights, NotFiniteOnAnyNumberOfThreads) {
  constexpr int64_t kElements = 3 * 65536 + 5;
  for (int threads : {1, 3}) {
    set_thread_count(threads);
    for (int64_t bad : {int64_t{65535}, int64_t{65536}, kElements - 1}) {
      Tensor tensor = Tensor::zeros(DType::f32, {kElements});
      for (int64_t i = bad; i < kElements; i += 65536) {
        tensor.as_mutable<float>()[i] = std::numeric_limits<float>::infinity();
      }
      const MapStore store({{"t", tensor}});
      expect_error(test::error_of([&] { check_finite(store); }), ErrorCode::not_finite,
                   {fmt::format("index {} of {}", bad, kElements)});
    }
  }
  set_thread_count(0);
}

TEST(ZooWeights, FitTheirConfigsAndAreFinite) {
  for (const auto& [part, parameters] : std::map<std::string, int64_t>{
           {"transformer", 9122848}, {"vae", 2371027}, {"text_encoder", 1181184}}) {
    const ComponentSource source = open_component(test::zoo() / part);
    check_finite(*source.weights);
    EXPECT_EQ(parameter_count(find_family(source.config), source.config), parameters);
    int64_t stored = 0;
    for (const std::string& name : source.weights->names()) {
      stored += element_count(source.weights->type(name).shape);
    }
    EXPECT_EQ(stored, parameters) << part;
  }
}

}  // namespace
}  // namespace octavo
