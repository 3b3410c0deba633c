// Input transforms change no float function: a model whose layers are stored shifted, multiplied,
// rotated and with a low-rank branch is the model whose plain weights say the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "models/model_source.h"
#include "models/models.h"
#include "passes/hoist.h"
#include "passes/pipeline.h"
#include "run/component.h"
#include "support.h"

namespace octavo {
namespace {

using test::rel_l2;

using Doubles = std::vector<double>;

// Row by row, in double, by the definition of hadamard.
void rotate(Doubles& rows, int64_t block) {
  const double norm = std::sqrt(static_cast<double>(block));
  for (size_t first = 0; first < rows.size(); first += static_cast<size_t>(block)) {
    for (size_t half = 1; half < static_cast<size_t>(block); half *= 2) {
      for (size_t i = first; i < first + static_cast<size_t>(block); ++i) {
        if ((i - first) & half) continue;
        const double a = rows[i], b = rows[i + half];
        rows[i] = a + b;
        rows[i + half] = a - b;
      }
    }
    for (size_t i = first; i < first + static_cast<size_t>(block); ++i) rows[i] /= norm;
  }
}

Doubles doubles(const Tensor& tensor) {
  const std::vector<float> values = tensor.to_floats();
  return {values.begin(), values.end()};
}

Tensor floats(const Doubles& values, const Shape& shape) {
  return Tensor::from(std::vector<float>(values.begin(), values.end()), shape);
}

// What a test wants of the layers.
struct Wanted {
  bool shift = true, multiplier = true, rotation = true, low_rank = true;
};

// Of all layers that read one value the same, so that they can share it.
InputTransform transform_of(const std::string& input, int64_t channels, const Wanted& wanted) {
  const uint64_t seed = std::hash<std::string>()(input);
  InputTransform t;
  if (wanted.shift) t.shift = test::random_tensor({channels}, seed, 0.3f);
  if (wanted.multiplier) {
    std::vector<float> m = test::random_tensor({channels}, seed + 1).to_floats();
    for (float& v : m) v = std::exp2(0.5f * v);
    t.multiplier = Tensor::from(m, {channels});
  }
  if (wanted.rotation) t.rotation = channels & -channels;
  return t;
}

// The layer in stored form, its weight on the grid of i8 after the transform.
QuantizedLayer stored(const Tensor& weight, const Tensor& bias, const InputTransform& transform,
                      const Wanted& wanted) {
  const int64_t out = weight.dim(0), in = weight.dim(1);
  Doubles w = doubles(weight);
  const Doubles m = transform.multiplier.has_data() ? doubles(transform.multiplier) : Doubles();
  for (size_t i = 0; i < w.size() && !m.empty(); ++i) w[i] /= m[i % static_cast<size_t>(in)];
  if (transform.rotation) rotate(w, transform.rotation);
  QuantizedLayer layer;
  layer.weight = quantize(floats(w, {out, in}), QuantSpec::parse("i8/1x*/static/f32"),
                          MatrixView::weight, "test");
  layer.input = transform;
  if (wanted.shift) layer.bias = bias;
  if (wanted.low_rank) {
    layer.low_rank_down = test::random_tensor({4, in}, 1, 0.01f, DType::bf16);
    layer.low_rank_up = test::random_tensor({out, 4}, 2, 0.1f, DType::bf16);
  }
  return layer;
}

// The plain weight and bias that a stored layer stands for.
std::pair<Tensor, Tensor> plain(const QuantizedLayer& layer, const Tensor& bias) {
  const Tensor grid = dequantize(layer.weight, MatrixView::weight);
  const int64_t out = grid.dim(0), in = grid.dim(1);
  Doubles w = doubles(grid), b = doubles(bias);
  if (layer.low_rank_down.has_data()) {
    const Doubles down = doubles(layer.low_rank_down), up = doubles(layer.low_rank_up);
    const int64_t rank = layer.low_rank_down.dim(0);
    for (int64_t i = 0; i < out * in; ++i) {
      for (int64_t r = 0; r < rank; ++r) {
        w[static_cast<size_t>(i)] +=
            up[static_cast<size_t>(i / in * rank + r)] * down[static_cast<size_t>(r * in + i % in)];
      }
    }
  }
  if (layer.input.rotation) rotate(w, layer.input.rotation);
  const auto channel = [in](size_t i) { return i % static_cast<size_t>(in); };
  if (layer.input.multiplier.has_data()) {
    const Doubles m = doubles(layer.input.multiplier);
    for (size_t i = 0; i < w.size(); ++i) w[i] *= m[channel(i)];
  }
  if (layer.input.shift.has_data()) {
    const Doubles mu = doubles(layer.input.shift);
    for (size_t i = 0; i < w.size(); ++i) {
      b[i / static_cast<size_t>(in)] -= w[i] * mu[channel(i)];
    }
  }
  return {floats(w, {out, in}), floats(b, {out})};
}

// The timesteps that the tests' scales belong to.
constexpr float kSteps[] = {0.1f, 0.5f, 0.9f};
float scale_of_step(size_t step) { return 0.03f * static_cast<float>(step + 1); }

// A component's weights, some layers of which are stored transformed; or, with stored = false, the
// plain weights that those stand for.
class TransformedStore : public WeightStore {
 public:
  TransformedStore(const ComponentSource& source, const Wanted& wanted) : source_(source) {
    const Family& family = find_family(source.config);
    const Graph graph = family.build(source.config, source.weights.get(), "forward");
    for (const QuantizableLayer& row : quantizable_layers(graph)) {
      const bool modulation = row.name.ends_with("norm.linear") ||
                              row.name.ends_with("norm1.linear") ||
                              row.name.ends_with("norm1_context.linear");
      if (modulation || row.name.find("blocks.") == row.name.npos) continue;
      const Tensor bias = source.weights->tensor(row.name + ".bias").to(DType::f32);
      layers_[row.name] = stored(source.weights->tensor(row.name + ".weight"), bias,
                                 transform_of(row.input, row.weight_shape[1], wanted), wanted);
      std::tie(plain_[row.name + ".weight"], plain_[row.name + ".bias"]) =
          plain(layers_[row.name], bias);
    }
  }
  size_t transformed() const { return layers_.size(); }
  bool as_stored = true;
  bool round_inputs = false;         // to i8, with one scale a step
  std::optional<size_t> only_scale;  // of this step, for all steps

  std::vector<std::string> names() const override { return source_.weights->names(); }
  bool contains(const std::string& name) const override { return source_.weights->contains(name); }
  TensorType type(const std::string& name) const override { return source_.weights->type(name); }
  std::string where(const std::string&) const override { return "memory"; }
  Tensor tensor(const std::string& name) const override {
    const auto found = plain_.find(name);
    return as_stored || found == plain_.end() ? source_.weights->tensor(name) : found->second;
  }
  std::optional<QuantizedLayer> quantized(const std::string& layer) const override {
    const auto found = layers_.find(layer);
    if (!as_stored || found == layers_.end()) return std::nullopt;
    QuantizedLayer result = found->second;
    if (!round_inputs) return result;
    result.activation = QuantSpec::parse("i8/*x*/static/f32");
    if (only_scale) {
      result.input_scale = Tensor::from({scale_of_step(*only_scale)}, {1, 1});
    } else {
      result.input_scale =
          Tensor::from({scale_of_step(0), scale_of_step(1), scale_of_step(2)}, {3, 1});
      result.input_steps = Tensor::from({kSteps[0], kSteps[1], kSteps[2]}, {3});
    }
    return result;
  }

 private:
  ComponentSource source_;
  std::map<std::string, QuantizedLayer> layers_;
  std::map<std::string, Tensor> plain_;
};

constexpr int64_t kBatch = 2, kWords = 5, kImage = 9;

struct Inputs {
  TensorMap request{
      {"encoder_hidden_states", test::random_tensor({kBatch, kWords, 192}, 1)},
      {"pooled_projections", test::random_tensor({kBatch, 192}, 2)},
      {"txt_ids", Tensor::zeros(DType::f32, {kWords, 3})},
      {"img_ids", test::random_tensor({kImage, 3}, 3)},
  };
  TensorMap step{{"hidden_states", test::random_tensor({kBatch, kImage, 32}, 4)}};
  std::vector<TensorMap> schedule;
  Inputs() {
    for (const float t : kSteps) {
      schedule.push_back({{"timestep", Tensor::from({t, t}, {kBatch})}});
    }
  }
};

class Emoji : public ::testing::Test {
 protected:
  Graph build(const WeightStore& store) const {
    return find_family(source_.config).build(source_.config, &store, "forward");
  }
  // The second step's result.
  Tensor run(const WeightStore& store, const ComponentOptions& options) const {
    Component component(build(store), options);
    component.begin(in_.request, in_.schedule);
    return component.step(1, in_.step).at("sample");
  }
  // A rounding of f32 anywhere costs about this: two sets of kernels on the plain model.
  double noise(TransformedStore& store) const {
    store.as_stored = false;
    ComponentOptions reference;
    reference.plan.reference_kernels = true;
    const double result = rel_l2(run(store, {}), run(store, reference));
    store.as_stored = true;
    return result;
  }
  Tensor run_plain(TransformedStore& store) const {
    store.as_stored = false;
    Tensor result = run(store, {});
    store.as_stored = true;
    return result;
  }

  Inputs in_;
  ComponentSource source_ =
      open_component(std::string(OCTAVO_SOURCE_DIR) + "/zoo/emoji/transformer");
};

// A product of x' rounds as one of x does. A shift of 0.3 adds |mu| to |x - mu|, which at most
// doubles what roundings are relative to; so does a multiplier, 2^+-0.5 around 1, on either
// operand.
constexpr double kFactor = 4;

TEST_F(Emoji, EveryTransformLeavesTheFunction) {
  const Wanted each[] = {{true, false, false, false},
                         {false, true, false, false},
                         {false, false, true, false},
                         {false, false, false, true},
                         {true, true, true, true}};
  for (const Wanted& wanted : each) {
    SCOPED_TRACE(fmt::format("shift {} multiplier {} rotation {} low rank {}", wanted.shift,
                             wanted.multiplier, wanted.rotation, wanted.low_rank));
    TransformedStore store(source_, wanted);
    EXPECT_EQ(store.transformed(), 44u);
    const double allowed = kFactor * noise(store);
    EXPECT_LT(allowed, 1e-4);
    const Tensor expected = run_plain(store);
    EXPECT_LT(rel_l2(run(store, {}), expected), allowed);
    ComponentOptions unfolded;
    unfolded.disabled_passes = {"fold_transform_into_norm", "fold_transform_into_linear"};
    unfolded.hoist = false;
    EXPECT_LT(rel_l2(run(store, unfolded), expected), allowed) << "nothing folded nor hoisted";
  }
}

size_t count(const Graph& graph, Op op) {
  return static_cast<size_t>(std::count_if(graph.nodes().begin(), graph.nodes().end(),
                                           [op](const Node& node) { return node.op == op; }));
}

// Nothing but the rotations is left of transforms whose input is a norm's; q, k and v have one.
TEST_F(Emoji, LayersShareAChainAndNormsTakeShiftAndMultiplier) {
  const TransformedStore store(source_, {true, true, true, false});
  const Graph built = build(store);
  EXPECT_EQ(count(built, Op::hadamard), 44u);
  const Graph graph = run_passes(built);
  // Two double blocks of two streams: q k v, out, up, down; four single ones: q k v mlp, out.
  constexpr size_t kInputs = 2 * 2 * 4 + 4 * 2, kOfNorms = 2 * 2 * 2 + 4;
  EXPECT_EQ(count(graph, Op::hadamard), kInputs);
  size_t left = 0;
  for (const Node& node : graph.nodes()) {
    left += node.op == Op::sub && graph.value(node.outputs[0]).rate == Rate::step;
  }
  EXPECT_EQ(left, kInputs - kOfNorms);
}

// Each step's result has the bits of a model that has that step's scales alone; what is done before
// the first step is still done for all steps as one batch.
TEST_F(Emoji, EveryStepHasItsOwnScales) {
  TransformedStore store(source_, {true, true, true, true});
  store.round_inputs = true;
  for (const bool hoisted : {true, false}) {
    ComponentOptions options;
    options.hoist = hoisted;
    store.only_scale.reset();
    Component component(build(store), options);
    component.begin(in_.request, in_.schedule);
    for (size_t k = 0; k < std::size(kSteps); ++k) {
      const Tensor found = component.step(k, in_.step).at("sample");
      store.only_scale = k;
      Component alone(build(store), options);
      alone.begin(in_.request, in_.schedule);
      EXPECT_TRUE(test::equal_bytes(found, alone.step(k, in_.step).at("sample")))
          << "step " << k << (hoisted ? ", hoisted" : "");
    }
  }
  store.only_scale.reset();
  const StagedGraph stages = hoist(run_passes(build(store)));
  EXPECT_TRUE(batch_parallel(stages.schedule, "B"));
  EXPECT_TRUE(batch_parallel(stages.trajectory, "B"));
}

// Another schedule's steps take the nearest recorded one's.
TEST_F(Emoji, AnotherScheduleTakesTheNearestStep) {
  TransformedStore store(source_, {false, false, true, false});
  store.round_inputs = true;
  Inputs other;
  other.schedule[0] = {{"timestep", Tensor::from({0.62f, 0.62f}, {kBatch})}};
  Component component(build(store), {});
  component.begin(other.request, other.schedule);
  store.only_scale = 1;
  Component alone(build(store), {});
  alone.begin(other.request, other.schedule);
  EXPECT_TRUE(test::equal_bytes(component.step(0, other.step).at("sample"),
                                alone.step(0, other.step).at("sample")));
}

}  // namespace
}  // namespace octavo
