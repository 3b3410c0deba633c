#include <algorithm>
#include <deque>
#include <mutex>

#include "base/check.h"
#include "base/hash.h"
#include "quant/layer_plan.h"
#include "quant/quantize_model.h"

namespace octavo {
namespace {

constexpr std::string_view kWeight = ".weight";

// One component's store whose planned layers are quantized when asked for.
class QuantizingStore : public WeightStore {
 public:
  QuantizingStore(std::shared_ptr<const WeightStore> source, std::string component,
                  std::shared_ptr<const ModelPlan> plan)
      : source_(std::move(source)), component_(std::move(component)), plan_(std::move(plan)) {}

  std::vector<std::string> names() const override { return source_->names(); }
  bool contains(const std::string& name) const override { return source_->contains(name); }
  void release(const std::string& name) const override { source_->release(name); }
  std::string where(const std::string& name) const override { return source_->where(name); }

  TensorType type(const std::string& name) const override {
    const TensorType type = source_->type(name);
    return find_weight(name) ? TensorType{DType::f32, type.shape} : type;
  }

  // Of a quantized weight: its dequantized values.
  Tensor tensor(const std::string& name) const override {
    if (!find_weight(name)) return source_->tensor(name);
    return dequantize(quantized(name.substr(0, name.size() - kWeight.size()))->weight,
                      MatrixView::weight);
  }

  std::optional<QuantizedLayer> quantized(const std::string& layer) const override {
    if (find(layer) == nullptr) return std::nullopt;
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find_if(solved_.begin(), solved_.end(),
                                    [&](const auto& entry) { return entry.first == layer; });
    if (found != solved_.end()) return found->second;
    if (solved_.size() == kRemembered) solved_.pop_front();
    solved_.emplace_back(layer, solve_planned(*plan_, component_ + "/" + layer, *source_));
    return solved_.back().second;
  }

  std::optional<QuantizedAttention> attention(const std::string& module) const override {
    const auto found = plan_->attentions.find(component_ + "/" + module);
    if (found == plan_->attentions.end()) return std::nullopt;
    return found->second;
  }

 private:
  const LayerPlan* find(const std::string& layer) const {
    const auto found = plan_->layers.find(component_ + "/" + layer);
    return found == plan_->layers.end() ? nullptr : &found->second;
  }
  const LayerPlan* find_weight(const std::string& name) const {
    return name.ends_with(kWeight) ? find(name.substr(0, name.size() - kWeight.size())) : nullptr;
  }

  std::shared_ptr<const WeightStore> source_;
  std::string component_;
  std::shared_ptr<const ModelPlan> plan_;
  // Solving is slow, and a layer is asked for more than once while a graph is built.
  static constexpr size_t kRemembered = 4;
  mutable std::mutex mutex_;
  mutable std::deque<std::pair<std::string, QuantizedLayer>> solved_;
};

// The view outlives what it is made from.
std::shared_ptr<const Stats> copy_of(const Stats* stats) {
  return stats == nullptr ? nullptr : std::make_shared<const Stats>(*stats);
}

class QuantizedView : public ModelSource {
 public:
  QuantizedView(std::shared_ptr<const ModelSource> model, const Recipe& recipe, const Stats* stats)
      : model_(std::move(model)),
        plan_(std::make_shared<ModelPlan>(plan_layers(recipe, *model_, copy_of(stats)))),
        recipe_(recipe.text()),
        stats_hash_(plan_->uses_stats ? stats->hash() : "") {}

  std::string where() const override { return model_->where(); }
  std::vector<std::string> components() const override { return model_->components(); }
  Config pipeline() const override { return model_->pipeline(); }
  Config config(const std::string& component) const override { return model_->config(component); }
  std::vector<std::string> prompts(const std::string& set) const override {
    return model_->prompts(set);
  }
  std::string recipe() const override { return recipe_; }
  std::string hash() const override {
    return hash_hex(fmt::format("{}\n{}\n{}", model_->hash(), stats_hash_, recipe_));
  }
  std::shared_ptr<const WeightStore> weights(const std::string& component) const override {
    return std::make_shared<QuantizingStore>(model_->weights(component), component, plan_);
  }

 private:
  std::shared_ptr<const ModelSource> model_;
  std::shared_ptr<const ModelPlan> plan_;
  std::string recipe_, stats_hash_;
};

}  // namespace

std::shared_ptr<const ModelSource> quantized_view(std::shared_ptr<const ModelSource> model,
                                                  const Recipe& recipe, const Stats* stats) {
  return std::make_shared<QuantizedView>(std::move(model), recipe, stats);
}

}  // namespace octavo
