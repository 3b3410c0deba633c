#pragma once
// Weights of a model's real sizes with random values, for measuring without a checkpoint. All
// tensors are views of a few buffers of normal values (standard deviation 0.02), so that any model
// costs little memory on the host and none on disk. Each starts at an address of its own, so that
// a device gets all of them. Weights of norms (rank 1, "*.weight") are 1.
#include <map>
#include <memory>
#include <optional>

#include "io/weights.h"
#include "models/models.h"

namespace octavo {

class RandomStore : public WeightStore {
 public:
  // With a scheme, the layers that it takes by default are quantized: random codes, and scales
  // under which they have that deviation; static inputs get the scale of values up to 8, and so do
  // static operands of attention, if that has a scheme.
  RandomStore(const Family& family, const Config& config, DType dtype,
              std::optional<Scheme> scheme = std::nullopt,
              std::optional<AttentionScheme> attention = std::nullopt);

  std::vector<std::string> names() const override;
  bool contains(const std::string& name) const override { return entries_.contains(name); }
  TensorType type(const std::string& name) const override;
  Tensor tensor(const std::string& name) const override;
  std::string where(const std::string&) const override { return "random weights"; }
  std::optional<QuantizedLayer> quantized(const std::string& layer) const override;
  std::optional<QuantizedAttention> attention(const std::string& module) const override;

 private:
  struct Entry {
    Shape shape;
    int64_t index;
    bool quantized = false;
  };
  Tensor piece(const Tensor& pool, const Shape& shape, int64_t index) const;
  const Entry& at(const std::string& name) const;

  std::map<std::string, Entry> entries_;
  DType dtype_;
  std::optional<Scheme> scheme_;
  std::optional<AttentionScheme> attention_;
  Tensor values_, codes_, ones_;
  float code_scale_ = 1, code_zero_point_ = 0;
};

// The config of a published model by its name ("flux.1-dev", "flux.1-schnell"). Error lists them.
Config known_config(std::string_view model);

}  // namespace octavo
