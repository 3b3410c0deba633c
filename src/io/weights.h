#pragma once
// Where a component's parameters come from: a checkpoint folder, one file, an artifact, or another
// store quantized on the fly. Names are those of the diffusers/transformers checkpoint.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "octavo/quant_spec.h"
#include "tensor/quantize.h"
#include "tensor/tensor.h"

namespace octavo {

// What a linear's input goes through before it is quantized: x' = rotate((x - shift) multiplier).
// The layer's weight is that of x'.
struct InputTransform {
  Tensor shift = {};       // f32 [in], or empty
  Tensor multiplier = {};  // f32 [in], or empty
  // The orthonormal Hadamard transform of each block of so many channels (a power of two that
  // divides them); 0: none.
  int64_t rotation = 0;
};

// A quantized layer: y = Q(x') W'^T + (x' down^T) up^T + bias.
struct QuantizedLayer {
  QuantizedTensor weight;  // codes have the logical weight's shape
  std::optional<QuantSpec> activation;
  // f32 [1, 1] for static activations, else empty; or [S, 1], one for each of input_steps.
  Tensor input_scale;
  // f32 [S], ascending: the timesteps, as the denoiser is given them, that the scales belong to.
  Tensor input_steps = {};
  InputTransform input = {};
  Tensor low_rank_down = {}, low_rank_up = {};  // bf16 [r, in], [out, r], or empty
  Tensor bias = {};                             // f32 [out] instead of the checkpoint's, or empty
  // Of any four codes in a row of the weight's matrix two at most are not 0: stored without them.
  bool two_of_four = false;
};

// A quantized attention. A scale is f32 [1, 1] where that operand's spec is static, else empty.
struct QuantizedAttention {
  AttentionScheme scheme;
  Tensor q_scale, k_scale, v_scale;
};

struct TensorType {
  DType dtype;
  Shape shape;
};

class WeightStore {
 public:
  virtual ~WeightStore() = default;
  virtual std::vector<std::string> names() const = 0;  // sorted
  virtual bool contains(const std::string& name) const = 0;
  virtual TensorType type(const std::string& name) const = 0;  // logical type, no data touched
  // Data may be a view of a mapped file. Error names file and tensor when it is missing.
  virtual Tensor tensor(const std::string& name) const = 0;
  // Hints that the tensor's pages are not needed soon.
  virtual void release(const std::string& name) const { (void)name; }
  virtual std::string where(const std::string& name) const = 0;  // file, for messages
  // The layer's quantization, if its weight ("<layer>.weight") is quantized here.
  virtual std::optional<QuantizedLayer> quantized(const std::string& layer) const {
    (void)layer;
    return std::nullopt;
  }
  // That of the attention of this module ("transformer_blocks.0.attn"), if it is quantized here.
  virtual std::optional<QuantizedAttention> attention(const std::string& module) const {
    (void)module;
    return std::nullopt;
  }
};

}  // namespace octavo
