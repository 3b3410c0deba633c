#pragma once
// What the families build with: a graph under construction, the path of the module being built, and
// the checkpoint. Layers are named by module path and check their tensors against the checkpoint.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "io/weights.h"

namespace octavo {

// Error{bad_file} with file and tensor unless it has this shape and a type that a parameter may
// have.
void check_parameter(const WeightStore& weights, const std::string& name, const Shape& expected);

class Builder {
 public:
  // weights == nullptr: constants are typed (f32) and without data.
  Builder(std::string_view class_name, std::string_view method, const WeightStore* weights);

  // The module path grows by `module` ("attn", "transformer_blocks.0") while the Scope lives.
  class Scope {
   public:
    explicit Scope(Builder& builder, size_t length) : builder_(builder), length_(length) {}
    ~Scope() { builder_.path_.resize(length_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Builder& builder_;
    size_t length_;
  };
  [[nodiscard]] Scope scope(std::string_view module);
  // Of a name under the present module; "" is the module itself, ":1" an item of its result.
  std::string path(std::string_view name) const;

  ValueId input(std::string_view name, DType dtype, SymShape shape, Rate rate);
  void output(std::string_view name, ValueId value) { graph_.add_output(name, value); }
  // Says which input, f32 [B], is the denoiser's timestep: by it layers that are built from here on
  // choose among scales that belong to steps.
  void set_timestep(ValueId timestep) { timestep_ = timestep; }
  // The constant "<path>.<name>". Error{bad_file} names file and tensor when it is missing, not of
  // a float type, or not of this shape.
  ValueId weight(std::string_view name, const Shape& expected);

  // Layers with tensors "<name>.weight" and, with bias, "<name>.bias". The result is named by the
  // module path. Where the store has the layer quantized, the weight is dequantize(codes, scale)
  // and, with an activation spec, x passes through quantize and dequantize (QDQ form). A linear's x
  // is transformed before that, and a low-rank branch over the transformed x is added.
  ValueId linear(ValueId x, std::string_view name, int64_t in, int64_t out, bool bias = true);
  struct Conv {
    int64_t in, out, kernel = 3, stride = 1;
    std::vector<int64_t> pads = {1, 1, 1, 1};  // top left bottom right
  };
  ValueId conv2d(ValueId x, std::string_view name, const Conv& conv);
  ValueId rms_norm(ValueId x, std::string_view name, int64_t dim, double eps);
  ValueId group_norm(ValueId x, std::string_view name, int64_t channels, int64_t groups,
                     double eps);

  // softmax(scale q k^T + bias) v, named "<path>.attention". Where the store has this module's
  // attention quantized, q, k and v pass through quantize and dequantize.
  ValueId attention(ValueId q, ValueId k, ValueId v, double scale, ValueId bias = kNoValue);

  // Any op; the result is named "<path>.<name>". Unnamed steps say what they are ("q.heads").
  ValueId op(Op op, std::vector<ValueId> inputs, Attrs attrs, std::string_view name);
  std::vector<ValueId> op_multi(Op op, std::vector<ValueId> inputs, Attrs attrs,
                                std::string_view name);
  ValueId reshape(ValueId x, SymShape shape, std::string_view name);
  ValueId slice(ValueId x, int64_t axis, Dim begin, Dim end, std::string_view name);
  ValueId add(ValueId a, ValueId b, std::string_view name) { return op(Op::add, {a, b}, {}, name); }
  ValueId mul(ValueId a, ValueId b, std::string_view name) { return op(Op::mul, {a, b}, {}, name); }
  ValueId silu(ValueId x, std::string_view name) { return op(Op::silu, {x}, {}, name); }
  ValueId gelu_tanh(ValueId x, std::string_view name);

  // A second name for a value: a copy that nothing uses, so that a tap finds it.
  void tap(ValueId value, std::string_view name);

  const SymShape& shape(ValueId x) const { return graph_.value(x).type.shape; }
  DType dtype(ValueId x) const { return graph_.value(x).type.dtype; }
  Graph take();  // verified

 private:
  // `layer` is the full name. Empty when it is not quantized.
  std::optional<QuantizedLayer> find_quantized(const std::string& layer) const;
  ValueId quantized_weight(const std::string& layer, const QuantizedTensor& weight,
                           const Shape& expected);
  // x through quantize and dequantize; codes are named `name`. A static spec has a scale.
  ValueId quantized_value(ValueId x, const QuantSpec& spec, ValueId scale, const std::string& name,
                          std::string_view rows);
  // x as the layer's product takes it.
  ValueId quantized_input(ValueId x, const std::string& layer, const QuantizedLayer& quantized,
                          std::string_view rows);
  ValueId input_scale(const std::string& layer, const QuantizedLayer& quantized);
  ValueId transformed(ValueId x, const std::string& layer, const InputTransform& transform);
  ValueId quantized_linear(ValueId x, std::string_view name, const QuantizedLayer& quantized,
                           int64_t in, int64_t out, bool bias);
  ValueId low_rank(ValueId x, const std::string& layer, const QuantizedLayer& quantized, int64_t in,
                   int64_t out);
  // A constant that comes with a quantized layer.
  ValueId part(const std::string& name, const Tensor& tensor, const Shape& expected);
  // The bias that the store gives the quantized layer, or the checkpoint's, or none.
  ValueId layer_bias(std::string_view name, const QuantizedLayer& quantized, int64_t out,
                     bool bias);

  Graph graph_;
  const WeightStore* weights_;
  std::string path_;
  ValueId timestep_ = kNoValue;
};

}  // namespace octavo
