#pragma once
// What the operands of a linear layer or convolution are multiplied as, and what of their
// quantization is left to the epilogue. Host only.
#include <optional>

#include "kernels/cuda/product.h"
#include "octavo/quant_spec.h"

namespace octavo::cuda {

// Values reach a form exactly: codes and 16-bit floats widened, never rounded. Sums are f32, i32 in
// form i8, double in form simt.
enum class Form : uint8_t {
  f32,
  bf16,
  f16,
  bf16_terms,  // w is the sum of three bf16 terms, each a product of its own
  i8,          // exact
  e4m3,  // by FP8 units, fast accumulation off: sums of 128 products or so have 14 bits on sm_90
  simt
};
DType type_of(Form form);
inline DType sums_of(Form form) { return form == Form::i8 ? DType::i32 : DType::f32; }
inline int terms_of(Form form) { return form == Form::bf16_terms ? 3 : 1; }
// Extents of 8-bit products are multiples of this; i8 products have at least so many rows.
constexpr int64_t kCodeMultiple = 16, kLeastIntegerRows = 32;
inline bool is_coded(Form form) { return form == Form::i8 || form == Form::e4m3; }

// Indices of the operands; kAbsent where an op has none.
constexpr size_t kAbsent = SIZE_MAX;
struct ProductInputs {
  size_t x, x_scale, w, w_scale, w_zp, bias, gate, residual, out_scale;
};
constexpr ProductInputs kLinearInputs{0, kAbsent, 1, kAbsent, kAbsent, 2, 3, 4, 5};
constexpr ProductInputs kQuantizedLinearInputs{0, 1, 2, 3, 4, 5, 6, 7, 8};
constexpr ProductInputs kConvInputs{0, kAbsent, 1, kAbsent, kAbsent, 2, kAbsent, 3, kAbsent};
constexpr ProductInputs kQuantizedConvInputs{0, 1, 2, 3, 4, 5, kAbsent, 6, kAbsent};
inline const void* address(const Call& call, const Buffers& buffers, size_t input) {
  return has(call, input) ? buffers.inputs[input] : nullptr;
}

// How an operand's scales are applied: by the epilogue, one for all or one a row, or to the values.
struct Scaling {
  bool is_quantized = false;
  bool by_value = false;                             // groups, tiles of several rows, zero points
  int row_stride = 0;                                // of the epilogue's scales
  int64_t tile_rows = 1, tile_cols = 1, across = 1;  // of the grid, where by_value
};
// rows x cols: the operand's matrix view. spec empty: a float operand.
Scaling scaling_of(const std::optional<QuantSpec>& spec, bool has_zero_point, int64_t rows,
                   int64_t cols);
ScaleGrid grid_of(const Scaling& scaling, const void* scale, const void* zero_point);
std::optional<QuantSpec> spec_of(const Call& call, const char* attribute);

// Operand types, and the values' way into the form; k: extent that is summed over.
Verdict supports_form(const Call& call, const ProductInputs& in, Form form, const Scaling& x,
                      const Scaling& w, int64_t k);
// Types of the operands that the epilogue reads.
Verdict supports_epilogue(const Call& call, const ProductInputs& in);
Activation activation_of(const Call& call);
DType side_type(const Call& call, const ProductInputs& in);

// Pieces of workspace, one after the other, at multiples of 256 bytes.
class Layout {
 public:
  size_t take(size_t bytes) {
    const size_t at = bytes_;
    bytes_ += (bytes + 255) / 256 * 256;
    return at;
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};
inline void* at(const Buffers& buffers, size_t offset) {
  return static_cast<std::byte*>(buffers.workspace) + offset;
}

// An operand that a product reads or writes where it lies, which takes an aligned address. Small
// ones have room for a copy, so that a product's bits do not depend on addresses; where there is
// none the call falls back on multiply_simt.
struct InPlace {
  size_t bytes = 0, copy = 0;  // bytes 0: not used in place
  bool has_copy = false;
};
// Room for the copies of small operands.
void reserve_copies(Layout& layout, std::initializer_list<InPlace*> operands);
bool is_aligned(const void* address);
inline bool is_reachable(const InPlace& o, const void* address) {
  return o.bytes == 0 || o.has_copy || is_aligned(address);
}
// The operand at an aligned address: its own, or a copy whose making is enqueued.
const void* in_place(const Call& call, const Buffers& buffers, const InPlace& o,
                     const void* address);

// Small operands of types that the epilogue does not read itself, as f32 in the workspace.
struct Widened {
  bool used = false;
  size_t at = 0;
};
Widened reserve_widened(Layout& layout, const Call& call, size_t input, bool is_scale);
const void* widened(const Call& call, const Buffers& buffers, const Widened& w, size_t input);

constexpr int64_t round_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}
// n in equal tiles of at most `most`, multiples of 128 unless there is one.
int64_t even_tile(int64_t n, int64_t most);

}  // namespace octavo::cuda
