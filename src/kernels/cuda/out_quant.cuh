#pragma once
// Quantization of a result as it is written: the host describes the codes and scales of a call in
// a QuantTarget, kernels write rows of f32 values to it. The arithmetic is tensor/quantize.h's, bit
// for bit. NaN and infinity under a dynamic scale, and NaN in a format without NaN, set the
// device's not-finite flag.
//
// A kernel that fuses (is_fused()) does, by mode:
//   given, tensor   scale = tensor_scale(target), the same everywhere
//   row             scale = row_scale(target, row, largest magnitude of the row)
// then CodeWriter<D>(target, scale).write(row, col, values). `tensor` takes two launches: the first
// ends in find_largest(target, ...), the second writes. One block of the writing launch, which is
// never empty, calls publish_scale(target). Other modes and formats: write the rows as f32 into the
// workspace and quantize them with quantize_matrix().
#include <cstdint>
#include <string>

#include "kernels/cuda/codec.cuh"
#include "kernels/cuda/reduce.cuh"
#include "octavo/quant_spec.h"

namespace octavo::cuda {

enum class QuantMode : uint8_t {
  none,    // plain floats
  given,   // static, one scale
  row,     // dynamic, one scale a row
  tensor,  // dynamic, one scale
  tiles,   // everything else: groups, tiles of several rows
};

struct QuantTarget {
  QuantMode mode = QuantMode::none;
  DType format = DType::i8, scale_format = DType::f32;
  float top = 1;                             // the code that the largest magnitude is mapped to
  int64_t rows = 0, cols = 0;                // the matrix view
  int64_t pitch = 0;                         // of codes of whole bytes: from row to row, or cols
  int64_t tile_rows = 1, tile_cols = 1;      // at least 1
  int64_t tiles_down = 0, tiles_across = 0;  // the scales' shape
  int64_t run = 0;  // packed formats: elements of the last axis, padded to whole bytes
  bool is_static = false;
  const float* given = nullptr;    // the scales of a static spec
  float* scale = nullptr;          // f32, tiles_down x tiles_across
  uint8_t* codes = nullptr;        // packed as tensor/codec.h has it
  uint32_t* largest = nullptr;     // mode tensor: bits of the largest magnitude
  uint32_t* not_finite = nullptr;  // the device's flag
  // Codes that a kernel can write by CodeWriter.
  bool is_fused() const { return is_byte_format(format) && mode != QuantMode::tiles; }
};

// Refuses what nothing here quantizes to: zero points, a scale operand that does not fit the spec,
// other outputs than (codes, f32 scale).
Verdict supports_quant(const Call& call, const QuantSpec& spec, size_t scale_input);
// The spec of attribute out_spec and input scale_input; yes without the attribute, if the output is
// of a compute type.
Verdict supports_out_quant(const Call& call, size_t scale_input);

// outputs[0] is codes of `spec`, outputs[1] scales. `largest`: kLargestBytes of workspace. Without
// buffers (workspace(), supports()): modes and extents only. rows_first: the matrix view is
// [axis 0, the rest], else [all leading axes, last axis].
constexpr size_t kLargestBytes = 256;
QuantTarget quant_target(const Call& call, const Buffers* buffers, const QuantSpec& spec,
                         bool rows_first, size_t scale_input, void* largest);

// What a call with an optional out_spec writes, and the workspace for it: [f32 rows unless fused]
// [largest]. `target.mode` is none without out_spec.
struct OutQuant {
  QuantTarget target;
  float* staged = nullptr;  // rows x cols of f32 to write instead, then finish()
};
size_t out_quant_workspace(const Call& call);
// workspace: of out_quant_workspace() bytes, 256-byte aligned. Enqueues what must come before the
// kernel's launches.
OutQuant begin_out_quant(const Call& call, const Buffers& buffers, size_t scale_input,
                         void* workspace);
// Enqueues the quantization of staged rows; nothing if there are none.
void finish_out_quant(const Call& call, const OutQuant& out);

// Quantizes rows x cols of f32, f16 or bf16 values in memory, in every mode and format.
void quantize_matrix(const Call& call, const QuantTarget& target, const void* src, DType src_type);
// The same of what is not fused.
void quantize_tiles(const Call& call, const QuantTarget& target, const void* src, DType src_type);

// Device side
// ---------------------------------------------------------------------------------------

__device__ inline void report_not_finite(const QuantTarget& target) { *target.not_finite = 1; }

// The scale of a dynamic tile.
__device__ inline float dynamic_scale(const QuantTarget& target, float largest) {
  if (__float_as_uint(largest) >= 0x7f800000u) report_not_finite(target);
  return scale_for_absmax(target.scale_format, target.top, largest);
}
// Modes given and tensor.
__device__ inline float tensor_scale(const QuantTarget& target) {
  if (target.is_static) return target.given[0];
  return dynamic_scale(target, __uint_as_float(*target.largest));
}
// Mode row; `first` is true in one thread of the row, which stores it.
__device__ inline float row_scale(const QuantTarget& target, int64_t row, float largest,
                                  bool first) {
  const float scale = dynamic_scale(target, largest);
  if (first) target.scale[row] = scale;
  return scale;
}
// Modes given and tensor: called by one thread of the launch.
__device__ inline void publish_scale(const QuantTarget& target) {
  if (target.mode == QuantMode::given || target.mode == QuantMode::tensor) {
    target.scale[0] = tensor_scale(target);
  }
}
// First launch of mode tensor: one call a warp or block. The order does not matter.
__device__ inline void find_largest(const QuantTarget& target, float largest) {
  atomicMax(target.largest, __float_as_uint(largest));
}

// Writes codes of a byte format under one scale.
template <DType D, class Encoder = ScaledEncoder<D>>
class CodeWriter {
 public:
  __device__ CodeWriter(const QuantTarget& target, float scale)
      : target_(target), encoder_(scale) {}
  __device__ ~CodeWriter() {
    if (encoder_.met_nan()) report_not_finite(target_);
  }
  CodeWriter(const CodeWriter&) = delete;
  CodeWriter& operator=(const CodeWriter&) = delete;

  // N codes from `col`; target.codes + row * pitch + col is a multiple of N.
  template <int N>
  __device__ void write(int64_t row, int64_t col, const float (&v)[N]) {
    write_at(row * target_.pitch + col, v);
  }
  // The same from where they are in memory.
  template <int N>
  __device__ void write_at(int64_t index, const float (&v)[N]) {
    uint8_t* dst = target_.codes + index;
    if constexpr (N % 4 == 0) {
      Pack<uint32_t, N / 4> words;
#pragma unroll
      for (int i = 0; i < N / 4; ++i) {
        words.v[i] = encoder_.encode4({v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]});
      }
      *reinterpret_cast<Pack<uint32_t, N / 4>*>(dst) = words;
    } else {
#pragma unroll
      for (int i = 0; i < N; ++i) dst[i] = static_cast<uint8_t>(encoder_.encode(v[i]));
    }
  }

 private:
  const QuantTarget& target_;
  Encoder encoder_;
};

}  // namespace octavo::cuda
