#include "quant/mixed_model.h"

#include "base/check.h"

namespace octavo {
namespace {

class MixedStore : public WeightStore {
 public:
  MixedStore(std::shared_ptr<const WeightStore> plain, std::shared_ptr<const WeightStore> quantized,
             std::function<bool(const std::string&)> takes)
      : plain_(std::move(plain)), quantized_(std::move(quantized)), takes_(std::move(takes)) {}

  std::vector<std::string> names() const override { return plain_->names(); }
  bool contains(const std::string& name) const override { return plain_->contains(name); }
  TensorType type(const std::string& name) const override { return plain_->type(name); }
  Tensor tensor(const std::string& name) const override { return plain_->tensor(name); }
  void release(const std::string& name) const override { plain_->release(name); }
  std::string where(const std::string& name) const override { return plain_->where(name); }

  std::optional<QuantizedLayer> quantized(const std::string& layer) const override {
    return takes_(layer) ? quantized_->quantized(layer) : std::nullopt;
  }
  std::optional<QuantizedAttention> attention(const std::string& module) const override {
    return takes_(module) ? quantized_->attention(module) : std::nullopt;
  }

 private:
  std::shared_ptr<const WeightStore> plain_, quantized_;
  std::function<bool(const std::string&)> takes_;
};

class MixedModel : public ModelSource {
 public:
  MixedModel(std::shared_ptr<const ModelSource> model, std::shared_ptr<const ModelSource> quantized,
             std::function<bool(const std::string&)> takes)
      : model_(std::move(model)), quantized_(std::move(quantized)), takes_(std::move(takes)) {
    OCTAVO_CHECK(model_->components() == quantized_->components(),
                 "{} and {} have other components; they are not versions of one model",
                 model_->where(), quantized_->where());
  }

  std::string where() const override { return model_->where(); }
  std::vector<std::string> components() const override { return model_->components(); }
  Config pipeline() const override { return model_->pipeline(); }
  Config config(const std::string& component) const override { return model_->config(component); }
  std::vector<std::string> prompts(const std::string& set) const override {
    return model_->prompts(set);
  }
  std::string hash() const override { return model_->hash() + "+" + quantized_->hash(); }
  std::string recipe() const override { return quantized_->recipe(); }
  std::shared_ptr<const WeightStore> weights(const std::string& component) const override {
    const auto takes = takes_;
    return std::make_shared<MixedStore>(
        model_->weights(component), quantized_->weights(component),
        [takes, component](const std::string& name) { return takes(component + "/" + name); });
  }

 private:
  std::shared_ptr<const ModelSource> model_, quantized_;
  std::function<bool(const std::string&)> takes_;
};

}  // namespace

std::shared_ptr<const ModelSource> mixed_model(std::shared_ptr<const ModelSource> model,
                                               std::shared_ptr<const ModelSource> quantized,
                                               std::function<bool(const std::string&)> takes) {
  return std::make_shared<MixedModel>(std::move(model), std::move(quantized), std::move(takes));
}

}  // namespace octavo
