// (code - zero_point) * scale, in f32: two roundings at most, as tensor/quantize.h has it. Eight
// codes, which are whole bytes in every format, a thread.
#include "kernels/cuda/codec.cuh"
#include "kernels/cuda/row.cuh"
#include "kernels/cuda/table.h"
#include "kernels/cuda/tile_cursor.cuh"
#include "octavo/quant_spec.h"
#include "tensor/quantize.h"

namespace octavo::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int kUnit = 8;  // codes

enum Input : size_t { kCodes, kScale, kZeroPoint };

struct Dequantize {
  const uint8_t* codes;
  float* out;
  AnyScale scale;
  AnyFloat zero_point;  // or absent
  TileGrid grid;
  int64_t run, runs;  // codes that lie together, padded to whole bytes; their number
  int64_t units_per_run;
  bool vectors;  // units are whole and aligned
};

template <DType D>
__device__ uint64_t load_word(const uint8_t* from, int count, bool vector) {
  constexpr int kBits = format_of(D).bits;
  if constexpr (kBits == 8) {
    if (vector) return *reinterpret_cast<const uint64_t*>(from);
  }
  if constexpr (kBits == 4) {
    if (vector) return *reinterpret_cast<const uint32_t*>(from);
  }
  uint64_t word = 0;
  for (int i = 0; i < (count * kBits + 7) / 8; ++i) word |= uint64_t{from[i]} << (8 * i);
  return word;
}

template <DType D>
__global__ void __launch_bounds__(kBlock) dequantize_kernel(const __grid_constant__ Dequantize d) {
  constexpr int kBits = format_of(D).bits;
  constexpr uint64_t kMask = (1u << kBits) - 1;
  const int64_t stride = int64_t{gridDim.x} * kBlock, units = d.runs * d.units_per_run;
  const int64_t run_bytes = (d.run * kBits + 7) / 8;
  for (int64_t u = int64_t{blockIdx.x} * kBlock + threadIdx.x; u < units; u += stride) {
    const int64_t run = u / d.units_per_run, at = (u - run * d.units_per_run) * kUnit;
    const int count = static_cast<int>(min(d.run - at, int64_t{kUnit}));
    const uint64_t word =
        load_word<D>(d.codes + run * run_bytes + at / kUnit * kBits, count, d.vectors);
    TileCursor cursor(d.grid, run * d.run + at);
    float v[kUnit];
#pragma unroll
    for (int i = 0; i < kUnit; ++i) {
      if (i >= count) break;
      const float zero = d.zero_point.data ? d.zero_point[cursor.tile()] : 0.0f;
      const auto code = static_cast<uint32_t>(word >> (i * kBits) & kMask);
      v[i] = (Codec<D>::decode(code) - zero) * d.scale[cursor.tile()];
      if (i + 1 < count) cursor.advance();
    }
    float* to = d.out + run * d.run + at;
    if (d.vectors) {
      store_floats(to, v);
    } else {
#pragma unroll
      for (int i = 0; i < kUnit; ++i) {
        if (i < count) to[i] = v[i];
      }
    }
  }
}

QuantSpec spec_of(const Call& call) { return QuantSpec::parse(call.attrs.get_string("spec")); }

std::pair<int64_t, int64_t> extents_of(const Call& call) {
  const bool first = call.attrs.get_string_or("rows", "leading") == "first";
  return matrix_extents(shape_of(call, kCodes),
                        first ? MatrixView::weight : MatrixView::activation);
}

Verdict supports(const Call& call) {
  const QuantSpec spec = spec_of(call);
  if (call.outputs[0].dtype != DType::f32) return Verdict::no("the output is not f32");
  if (dtype_of(call, kCodes) != *find_dtype(spec.format)) {
    return Verdict::no("the codes are not " + spec.format);
  }
  if (has(call, kZeroPoint) != spec.zero_point) {
    return Verdict::no("the zero point does not fit spec " + spec.text());
  }
  const auto [rows, cols] = extents_of(call);
  const Shape expected = spec.scale_shape(rows, cols);
  if (!has(call, kScale) || shape_of(call, kScale) != expected ||
      !is_scale_format(dtype_of(call, kScale))) {
    return Verdict::no("the scale is not a float " + to_string(expected));
  }
  if (has(call, kZeroPoint) &&
      (shape_of(call, kZeroPoint) != expected || !is_compute_type(dtype_of(call, kZeroPoint)))) {
    return Verdict::no("the zero point is not a float " + to_string(expected));
  }
  return Verdict::yes();
}

void launch_dequantize(const Call& call, const KernelState*, const Buffers& buffers) {
  const QuantSpec spec = spec_of(call);
  const auto [rows, cols] = extents_of(call);
  if (rows * cols == 0) return;
  const Shape& shape = shape_of(call, kCodes);
  const DType format = dtype_of(call, kCodes);
  Dequantize d = {};
  d.codes = static_cast<const uint8_t*>(buffers.inputs[kCodes]);
  d.out = static_cast<float*>(buffers.outputs[0]);
  d.scale = {buffers.inputs[kScale], dtype_of(call, kScale)};
  d.zero_point = any_float(call, buffers, kZeroPoint);
  d.grid = {cols, spec.tile_rows ? spec.tile_rows : rows, spec.tile_cols ? spec.tile_cols : cols,
            spec.scale_shape(rows, cols)[1]};
  // Types of whole bytes have no rows to keep apart.
  d.run = info(format).bits < 8 && !shape.empty() ? shape.back() : rows * cols;
  d.runs = rows * cols / d.run;
  d.units_per_run = (d.run + kUnit - 1) / kUnit;
  d.vectors = d.run % kUnit == 0 && aligned_to(d.codes, 8) && aligned_to(d.out, 16);
  with_code_format(format, [&](auto f) {
    launch(call, dequantize_kernel<decltype(f)::value>,
           blocks_for(d.runs * d.units_per_run, kBlock), kBlock, 0, d);
  });
}

}  // namespace

const Kernel kDequantize = {.name = "dequantize_cuda",
                            .op = Op::dequantize,
                            .supports = supports,
                            .launch = launch_dequantize};

}  // namespace octavo::cuda
