#pragma once
// Shape and type rules, one function an op, grouped by family in infer_*.cc, and what they share.
// Private to this floor; everyone else calls infer_types().
#include "base/check.h"
#include "graph/op.h"
#include "octavo/quant_spec.h"

namespace octavo::infer {

using Operands = std::span<const std::optional<ValueType>>;
using Results = std::vector<ValueType>;

// f32, f16, bf16.
bool is_compute(DType dtype);
void check_compute(const ValueType& type, const char* operand);
void check_float(const ValueType& type, const char* operand);
void check_dtype(const ValueType& type, const char* operand, DType expected);
void check_shape(const ValueType& type, const char* operand, const SymShape& expected);
void check_rank(const ValueType& type, const char* operand, size_t rank);
void check_rank_at_least(const ValueType& type, const char* operand, size_t rank);
// One of `allowed` ("a | b | c").
void check_choice(const Attrs& attrs, const char* key,
                  std::initializer_list<std::string_view> allowed);
void check_positive(const Attrs& attrs, const char* key);         // an integer above 0
void check_finite_positive(const Attrs& attrs, const char* key);  // a number above 0
// An axis attribute of a value of this rank.
size_t checked_axis(const Attrs& attrs, size_t rank);
// The whole number an extent is; some extents (heads, channels of a group) may not be symbols.
int64_t constant_extent(const Dim& dim, const char* what);

// If the optional operand is there: it is a float vector of this length.
void check_vector(const std::optional<ValueType>& operand, const char* name, const Dim& length);
// If it is there: it has exactly this type.
void check_same(const std::optional<ValueType>& operand, const char* name,
                const ValueType& expected);

// [row tiles, col tiles] of an activation's or weight's matrix view.
SymShape scale_shape(const QuantSpec& spec, const SymShape& shape, bool rows_first);
DType code_type(const QuantSpec& spec);
// Turns outputs.front() into (codes, scale) where {out_spec} asks for it.
void apply_out_spec(const Attrs& attrs, const std::optional<ValueType>& out_scale,
                    Results& outputs);

Results linear(const OpInfo& op, Operands in, const Attrs& attrs);
Results conv2d(const OpInfo& op, Operands in, const Attrs& attrs);
Results attention(const OpInfo& op, Operands in, const Attrs& attrs);
Results rms_norm(const OpInfo& op, Operands in, const Attrs& attrs);
Results layer_norm(const OpInfo& op, Operands in, const Attrs& attrs);
Results group_norm(const OpInfo& op, Operands in, const Attrs& attrs);
Results norm_modulate(const OpInfo& op, Operands in, const Attrs& attrs);
Results rope(const OpInfo& op, Operands in, const Attrs& attrs);
Results rope_table(const OpInfo& op, Operands in, const Attrs& attrs);
Results qk_norm_rope(const OpInfo& op, Operands in, const Attrs& attrs);
Results unary(const OpInfo& op, Operands in, const Attrs& attrs);
Results gelu(const OpInfo& op, Operands in, const Attrs& attrs);
Results binary(const OpInfo& op, Operands in, const Attrs& attrs);
Results cast(const OpInfo& op, Operands in, const Attrs& attrs);
Results reshape(const OpInfo& op, Operands in, const Attrs& attrs);
Results transpose(const OpInfo& op, Operands in, const Attrs& attrs);
Results concat(const OpInfo& op, Operands in, const Attrs& attrs);
Results slice(const OpInfo& op, Operands in, const Attrs& attrs);
Results expand(const OpInfo& op, Operands in, const Attrs& attrs);
Results upsample_nearest(const OpInfo& op, Operands in, const Attrs& attrs);
Results embedding(const OpInfo& op, Operands in, const Attrs& attrs);
Results timestep_embedding(const OpInfo& op, Operands in, const Attrs& attrs);
Results relative_position_bias(const OpInfo& op, Operands in, const Attrs& attrs);
Results mask_bias(const OpInfo& op, Operands in, const Attrs& attrs);
Results step_scale(const OpInfo& op, Operands in, const Attrs& attrs);
Results hadamard(const OpInfo& op, Operands in, const Attrs& attrs);
Results quantize(const OpInfo& op, Operands in, const Attrs& attrs);
Results dequantize(const OpInfo& op, Operands in, const Attrs& attrs);
Results quantized_linear(const OpInfo& op, Operands in, const Attrs& attrs);
Results quantized_conv2d(const OpInfo& op, Operands in, const Attrs& attrs);
Results quantized_attention(const OpInfo& op, Operands in, const Attrs& attrs);

// Shared by the float and the quantized products. `x` may be codes; `to` is the output's type.
ValueType linear_output(const ValueType& x, const ValueType& w, DType to);
ValueType conv2d_output(const ValueType& x, const ValueType& w, const Attrs& attrs, DType to);
// Shapes of q, k and v, the bias, and what attributes say; types of q, k and v are the caller's.
void check_attention(const ValueType& q, const ValueType& k, const ValueType& v,
                     const std::optional<ValueType>& bias, const Attrs& attrs);
void check_linear_epilogue(const ValueType& x, const ValueType& output, Operands bias_gate_residual,
                           const Attrs& attrs);

}  // namespace octavo::infer
