#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octavo {

// How a tensor is quantized. A tensor is seen as a matrix: weights as [out, everything else],
// activations as [all leading axes, last axis]. One scale covers a tile of rows x cols; 0 is the
// whole extent, written * in the text form. Text form, also the parser's input:
//   format/ROWSxCOLS/timing/scale[/zp]
//   e4m3/*x*/static/f32   i8/1x*/dynamic/f32   i4/1x128/static/f16/zp
//   real = code * scale                   (with zp: real = (code - zero_point) * scale)
// Scales are of f32, f16, bf16, e4m3 or a power of two: e8m0, the next one that clips nothing, or
// mx, e8m0 by OCP's rule for MX formats, 2^(floor(log2 absmax) - floor(log2 top)), which clips. Or
// of two levels, e4m3*f32: a tile's e4m3 under one f32 for the tensor, as in NVFP4.
struct QuantSpec {
  enum class Timing : uint8_t { static_, dynamic };

  // A name of the format table: e4m3 e5m2 e3m2 e2m2 e2m1, i2 to i8; with zero points u1 to u8.
  std::string format = "i8";
  int64_t tile_rows = 0, tile_cols = 0;
  Timing timing = Timing::static_;
  std::string scale = "f32";  // f32 f16 bf16 e8m0 e4m3 mx e4m3*f32
  bool zero_point = false;    // integer formats only

  // Throws Error{invalid_argument} naming the part that is wrong and what is allowed.
  static QuantSpec parse(std::string_view text);
  std::string text() const;
  // For specs that were put together by hand: throws as parse does.
  void validate() const;
  bool operator==(const QuantSpec&) const = default;

  // Whether tiles' scales stand under one for the tensor (e4m3*f32).
  bool has_tensor_scale() const { return scale == "e4m3*f32"; }
  // Scale tensor's shape for a rows x cols matrix: [ceil(rows/tile_rows), cols/tile_cols], 1 where
  // the tile is the whole extent. Throws when a group does not divide cols.
  std::vector<int64_t> scale_shape(int64_t rows, int64_t cols) const;
};

// What is done to a linear or convolution: the weight's spec and, where activations are quantized
// too, theirs. W8A8, W8A16, W4A16 are values of this.
struct Scheme {
  QuantSpec weight;
  std::optional<QuantSpec> activation;
  std::string text() const;  // "w=SPEC" or "w=SPEC a=SPEC"
  bool operator==(const Scheme&) const = default;
};

// What attention computes with: how q, k and v are quantized, and the format that the softmax's
// weights are rounded to before they multiply v (empty: they are not).
struct AttentionScheme {
  QuantSpec q, k, v;
  std::string weights;
  std::string text() const;  // "q=SPEC k=SPEC v=SPEC" or "q=SPEC k=SPEC v=SPEC p=FORMAT"
  bool operator==(const AttentionScheme&) const = default;
};

struct NamedAttentionScheme {
  std::string name;
  AttentionScheme scheme;
  std::string meaning;
};

// attn-fp8 attn-fp8dq
const std::vector<NamedAttentionScheme>& attention_scheme_table();
// Is this the name or the text of an attention's scheme, and not of a layer's?
bool names_attention(std::string_view text);
// A table name or "q=SPEC k=SPEC v=SPEC [p=FORMAT]" (one space; e4m3, e5m2 or i8 as format).
// Error{invalid_argument} lists the names.
AttentionScheme find_attention_scheme(std::string_view text);

struct NamedScheme {
  std::string name;
  Scheme scheme;
  std::string meaning;
};

// fp8 int8 fp8dq fp8dqrow int8dq int8wo fp8wo int4wo fp6_e3m2 fp5_e2m2 fp4_e2m1 ...
const std::vector<NamedScheme>& scheme_table();
// A table name or "w=SPEC" or "w=SPEC a=SPEC" (one space; the weight's timing is static).
// Error{invalid_argument} lists the names.
Scheme find_scheme(std::string_view text);

}  // namespace octavo
