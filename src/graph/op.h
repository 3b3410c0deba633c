#pragma once
// The op table: one row an op with its name, arity, attributes, shape rule, cost and whether rows
// of axis 0 are independent. Every op has a reference kernel on the CPU. `[]` shapes below are
// logical; "..." is any leading axes. Element-wise ops broadcast as NumPy does.
//
// Types: compute types are f32, f16 and bf16; the first output has the type of x unless the op says
// otherwise. Operands of `add`, `sub`, `mul`, `div`, q k v, gates, residuals and modulations share
// that type (no silent promotion: cast); weights, biases, norms' parameters and attention's bias
// may be of any float type; cos, sin and timesteps are f32. Axes count from 0 and are never
// negative. Activations are none | silu | gelu (exact, erf) | gelu_tanh.
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "graph/dim.h"

namespace octavo {

enum class Op : uint8_t {
  // products
  linear,     // x[..., K], w[N, K], bias[N]?, gate[B, N]?, residual[..., N]? {activation}
              //   y = act(x w^T + bias); y = residual + gate * y      (gate per axis-0 sample)
  conv2d,     // x[B, C, H, W], w[N, C, kh, kw], bias[N]?, residual[B, N, H', W']?
              //   {stride, pads = top left bottom right}
  attention,  // q[B, S, H, D], k[B, T, Hkv, D], v[B, T, Hkv, D], bias[B|1, H|1, S|1, T]?
              //   {scale, weights?}: softmax(scale q k^T + bias) v -> [B, S, H, D]; H a multiple
              //   of Hkv. weights: a format of 8 bits that the softmax's weights are rounded to
              //   before they multiply v, in units in which the row's largest is the format's
              //   largest power of two; what they are divided by is summed before the rounding.
              //   A kernel may keep more of them, or round in units up to four times as large.
  // normalisation
  rms_norm,       // x[..., D], w[D]? {eps}: x / sqrt(mean(x^2) + eps) * w
  layer_norm,     // x[..., D], w[D]?, b[D]? {eps}
  group_norm,     // x[B, C, ...], w[C], b[C] {groups, eps, activation}
  norm_modulate,  // x[B, ..., D], scale[B, D], shift[B, D] {eps}: layer_norm(x) (1 + scale) + shift
  // rotary positions (interleaved pairs)
  rope,          // x[B, S, H, D], cos[S, D/2], sin[S, D/2]
  rope_table,    // ids[S, A] {axes = dims per axis, theta} -> cos, sin [S, sum(axes)/2] f32
  qk_norm_rope,  // x[B, S, H, D], w[D], cos, sin {eps}: rope(rms_norm(x, w))
  // element-wise
  silu,
  gelu,  // gelu {approximate = tanh | none}
  add,
  sub,
  mul,
  div,
  affine,  // x {scale, shift}: x * scale + shift
  clamp,   // x {min, max}
  cast,    // x {to}
  // data movement
  reshape,           // x {shape}
  transpose,         // x {perm}
  concat,            // x... {axis}
  slice,             // x {axis, begin, end}: begin and end may be symbolic
  expand,            // x {shape}: broadcast
  upsample_nearest,  // x[B, C, H, W] {factor}
  embedding,         // table[V, D], ids[...] i64 -> [..., D]
  // conditioning
  timestep_embedding,      // t[B] {dim, flip_sin_to_cos, freq_shift, max_period} -> [B, dim] f32
  relative_position_bias,  // table[buckets, H], like[B, S, ...] {max_distance, bidirectional}
                           //   -> [1, H, S, S] (T5)
  mask_bias,               // mask[B, S] -> [B, 1, 1, S]: 0 where set, lowest f32 where not
  step_scale,              // t[B], steps[S] ascending, values[S, 1] -> [B, 1] f32: the value of the
                           //   step nearest to t, the lower of two that are equally near
  // quantization (tensor/quantize.h has the arithmetic)
  hadamard,  // x[..., D] {block}: y = H x / sqrt(block) of each block of the last axis, H[i][j] =
             //   (-1)^popcount(i & j); block is a power of two that divides D. Its own inverse.
  // A scale is one value a tile of the matrix view, which is [all leading axes, last axis] for rows
  // = leading and [axis 0, the rest] for rows = first. Activation scales are f32, without zero
  // points.
  quantize,          // x, scale? {spec, rows?} -> codes, scale; scale input iff static
  dequantize,        // codes, scale, zero_point? {spec, rows?, shape} -> f32
  quantized_linear,  // x (codes or float), x_scale?, w codes[N, K], w_scale, w_zp?, bias?, gate?,
                     //   residual? {x_spec?, w_spec, activation?, to?}: the linear over dequantized
                     //   operands; x_spec iff x is codes, then the output's type is `to` (f32)
  quantized_conv2d,  // x, x_scale?, w codes, w_scale, w_zp?, bias?, residual?
                     //   {x_spec?, w_spec, stride, pads, to?}; matrix view: rows = first
  quantized_attention,  // q, q_scale, k, k_scale, v, v_scale: codes; bias? {q_spec, k_spec, v_spec,
                        //   scale, weights?, to?}: attention over dequantized operands; the
                        //   output's type is `to` (f32)
  count_
};

// Optional fused quantization of the first output: norm_modulate, qk_norm_rope, linear,
// quantized_linear, attention, quantized_attention and gelu take {out_spec} and a last optional
// input out_scale (static specs), and then give (codes, scale) as `quantize` with rows = leading
// does.

using Attr = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, SymShape, Dim>;
class Attrs {
 public:
  Attrs() = default;
  Attrs(std::initializer_list<std::pair<const std::string, Attr>> list) : map_(list) {}
  bool has(std::string_view key) const { return map_.find(std::string(key)) != map_.end(); }
  // Error{internal} naming the key when it is absent or of another type; *_or give a default.
  int64_t get_int(std::string_view key) const;  // also of a constant Dim
  double get_double(std::string_view key) const;
  bool get_bool(std::string_view key) const;
  const std::string& get_string(std::string_view key) const;
  const std::vector<int64_t>& get_ints(std::string_view key) const;
  const SymShape& get_dims(std::string_view key) const;
  const Dim& get_dim(std::string_view key) const;
  std::string get_string_or(std::string_view key, std::string_view fallback) const;
  bool get_bool_or(std::string_view key, bool fallback) const;
  void set(std::string_view key, Attr value) { map_[std::string(key)] = std::move(value); }
  void erase(std::string_view key) { map_.erase(std::string(key)); }
  const std::map<std::string, Attr>& map() const { return map_; }
  // With symbols of dims replaced by their extents.
  Attrs substitute(const Bindings& bindings) const;
  bool operator==(const Attrs&) const = default;

 private:
  template <class T>
  const T& get(std::string_view key, const char* type) const;
  std::map<std::string, Attr> map_;
};

struct ValueType {
  DType dtype = DType::f32;
  SymShape shape;
  bool operator==(const ValueType&) const = default;
};
std::string to_string(const ValueType& type);  // "f32[B, 64]"

enum class AttrType : uint8_t { boolean, integer, real, text, integers, dims, dim };
struct AttrInfo {
  const char* name;
  AttrType type;
  bool required;
};

struct OpInfo {
  Op op;
  const char* name;
  int min_inputs, max_inputs;  // absent optional inputs are kNoValue; max -1: any number.
                               // A node always has max_inputs inputs, padded with kNoValue.
  int outputs;                 // before fused quantization
  std::vector<AttrInfo> attrs;
  // Types of the outputs, or Error naming the op and the shapes. inputs[i] is empty when absent.
  std::vector<ValueType> (*infer)(const OpInfo& op,
                                  std::span<const std::optional<ValueType>> inputs,
                                  const Attrs& attrs);
  // Multiply-adds count two; symbolic.
  Dim (*flops)(std::span<const std::optional<ValueType>> inputs, std::span<const ValueType> outputs,
               const Attrs& attrs);
  // Each index of the output's axis 0 depends on the same index of the inputs whose axis 0 has the
  // batch symbol, and on nothing else of them (used to run all steps of a schedule as one batch).
  bool batch_parallel;
};

std::span<const OpInfo> op_table();
const OpInfo& info(Op op);
const char* name(Op op);
std::optional<Op> find_op(std::string_view name);

// The output types of a call: checks arity and attributes, pads the inputs, applies the op's rule.
// Error{invalid_argument} starting with the op's name.
std::vector<ValueType> infer_types(Op op, std::span<const std::optional<ValueType>> inputs,
                                   const Attrs& attrs);
// Attributes in the types that the op's row declares: an integer is a real or a dim where one is
// wanted, integers are dims. Error{invalid_argument} for unknown, missing and mistyped ones.
Attrs checked_attrs(const OpInfo& op, const Attrs& attrs);
int output_count(const OpInfo& op, const Attrs& attrs);  // one more with out_spec

}  // namespace octavo
