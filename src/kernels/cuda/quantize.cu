// quantize, and the second half of every result that is quantized after it was written. Codes of
// one byte under one scale, or one a row, are memory-bound kernels; packed formats and groups
// take simple ones.
#include "kernels/cuda/row.cuh"
#include "kernels/cuda/row_codes.cuh"
#include "kernels/cuda/table.h"
#include "kernels/cuda/tile_cursor.cuh"

namespace octavo::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int kBatch = 2;  // packs that a thread loads before it uses them

template <class T>
constexpr int kVecOf = 16 / sizeof(T);

// Packs [batch, batch + kBatch x kBlock) of src, this thread's of them, zeros behind the end.
template <class T, int kVec>
__device__ void load_batch(const T* src, int64_t batch, int64_t packs, float (&v)[kBatch][kVec]) {
  using Raw = std::conditional_t<kVec == 1, T, uint4>;
  Raw raw[kBatch];
#pragma unroll
  for (int p = 0; p < kBatch; ++p) {
    const int64_t at = batch + p * kBlock + threadIdx.x;
    raw[p] = Raw{};
    if (at < packs) raw[p] = reinterpret_cast<const Raw*>(src)[at];
  }
#pragma unroll
  for (int p = 0; p < kBatch; ++p) {
    if constexpr (kVec == 1) {
      v[p][0] = to_float(raw[p]);
    } else {
      widen<T>(raw[p], v[p]);
    }
  }
}

template <class T, int kVec>
__global__ void __launch_bounds__(kBlock)
    largest_kernel(const T* src, int64_t packs, const __grid_constant__ QuantTarget target) {
  await_earlier_launches();
  __shared__ RowReduction<1>::Slots slots;
  float largest = 0;
  const int64_t stride = int64_t{gridDim.x} * kBlock * kBatch;
  for (int64_t at = int64_t{blockIdx.x} * kBlock * kBatch; at < packs; at += stride) {
    float v[kBatch][kVec];
    load_batch<T, kVec>(src, at, packs, v);
#pragma unroll
    for (int p = 0; p < kBatch; ++p) {
#pragma unroll
      for (int i = 0; i < kVec; ++i) largest = Largest::of(largest, magnitude(v[p][i]));
    }
  }
  RowReduction<1> reduction(slots);
  largest = reduction.reduce<Largest>(largest);
  if (threadIdx.x == 0) find_largest(target, largest);
}

// One scale for everything, byte formats.
template <class T, int kVec>
__global__ void __launch_bounds__(kBlock)
    one_scale_kernel(const T* src, int64_t packs, const __grid_constant__ QuantTarget target) {
  await_earlier_launches();
  const float scale = tensor_scale(target);
  if (blockIdx.x == 0 && threadIdx.x == 0) publish_scale(target);
  with_byte_format(target.format, [&](auto format) {
    CodeWriter<decltype(format)::value> writer(target, scale);
    const int64_t stride = int64_t{gridDim.x} * kBlock * kBatch;
    for (int64_t batch = int64_t{blockIdx.x} * kBlock * kBatch; batch < packs; batch += stride) {
      float v[kBatch][kVec];
      load_batch<T, kVec>(src, batch, packs, v);
#pragma unroll
      for (int p = 0; p < kBatch; ++p) {
        const int64_t at = batch + p * kBlock + threadIdx.x;
        if (at < packs) writer.write_at(at * kVec, v[p]);
      }
    }
  });
}

// One dynamic scale a row, byte formats.
template <class T, int kPacks>
__global__ void __launch_bounds__(kMostRowThreads)
    row_scale_kernel(const T* src, const __grid_constant__ QuantTarget target) {
  await_earlier_launches();
  __shared__ RowReduction<1>::Slots slots;
  const int64_t row = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (row >= target.rows) return;
  FilledRow<T, kPacks> values(src + row * target.cols, target.cols);
  RowReduction<1> reduction(slots);
  write_row_codes<Values::exact>(target, row, reduction, [&](auto&& f) { values.each(f); });
}

// Scales of tiles of any extent, a block each.
template <class T>
__global__ void tile_scale_kernel(const T* src, const __grid_constant__ QuantTarget t) {
  __shared__ RowReduction<1>::Slots slots;
  const int64_t tile = blockIdx.x;
  if (t.is_static || t.mode == QuantMode::tensor) {
    if (threadIdx.x == 0) t.scale[tile] = t.is_static ? t.given[tile] : tensor_scale(t);
    return;
  }
  const int64_t top = tile / t.tiles_across * t.tile_rows;
  const int64_t left = tile % t.tiles_across * t.tile_cols;
  const int64_t rows = min(t.tile_rows, t.rows - top), cols = min(t.tile_cols, t.cols - left);
  float largest = 0;
  for (int64_t i = threadIdx.x; i < rows * cols; i += blockDim.x) {
    const float x = to_float(src[(top + i / cols) * t.cols + left + i % cols]);
    largest = Largest::of(largest, magnitude(x));
  }
  RowReduction<1> reduction(slots);
  largest = reduction.reduce<Largest>(largest);
  if (threadIdx.x == 0) t.scale[tile] = dynamic_scale(t, largest);
}

// Eight codes of any format, which are whole bytes, a thread; scales are there.
template <class T, DType D>
__global__ void packed_kernel(const T* src, int64_t units, int64_t units_per_run, int bits,
                              const __grid_constant__ QuantTarget target,
                              const __grid_constant__ TileGrid grid) {
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  bool met_nan = false;
  for (int64_t u = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; u < units; u += stride) {
    const int64_t run = u / units_per_run, at = u % units_per_run * 8;
    const int count = static_cast<int>(min(target.run - at, int64_t{8}));
    const T* from = src + run * target.run + at;
    TileCursor cursor(grid, run * target.run + at);
    uint64_t word = 0;
    for (int i = 0; i < count; ++i, cursor.advance()) {
      const float x = to_float(from[i]);
      const bool nan = x != x;
      met_nan |= nan;
      const uint32_t code = Codec<D>::encode(nan ? x : x / target.scale[cursor.tile()]);
      word |= uint64_t{code} << (i * bits);
    }
    uint8_t* to = target.codes + run * ((target.run * bits + 7) / 8) + at / 8 * bits;
    for (int i = 0; i < (count * bits + 7) / 8; ++i) to[i] = static_cast<uint8_t>(word >> (8 * i));
  }
  if (met_nan && !Codec<D>::kHasNaN) report_not_finite(target);
}

// Host side
// -----------------------------------------------------------------------------------------

template <class T>
void launch_largest(const Call& call, const QuantTarget& target, const T* src) {
  const int64_t n = target.rows * target.cols;
  check(cudaMemsetAsync(target.largest, 0, sizeof(*target.largest), stream_of(call)),
        call.name.c_str());
  const int64_t most = int64_t{device_info(call).processors} * 8;
  if (n % kVecOf<T> == 0 && aligned_to(src, 16)) {
    const int64_t packs = n / kVecOf<T>;
    launch<Start::overlapped>(call, largest_kernel<T, kVecOf<T>>,
                              blocks_for(packs, kBlock * kBatch, most), kBlock, 0, src, packs,
                              target);
  } else {
    launch<Start::overlapped>(call, largest_kernel<T, 1>, blocks_for(n, kBlock * kBatch, most),
                              kBlock, 0, src, n, target);
  }
}

template <class T>
void launch_one_scale(const Call& call, const QuantTarget& target, const T* src) {
  const int64_t n = target.rows * target.cols;
  // At least one block: somebody writes the scale.
  const auto grid = [](int64_t packs) {
    return blocks_for(std::max<int64_t>(packs, 1), kBlock * kBatch);
  };
  if (n % kVecOf<T> == 0 && aligned_to(src, 16) && aligned_to(target.codes, kVecOf<T>)) {
    const int64_t packs = n / kVecOf<T>;
    launch<Start::overlapped>(call, one_scale_kernel<T, kVecOf<T>>, grid(packs), kBlock, 0, src,
                              packs, target);
  } else {
    launch<Start::overlapped>(call, one_scale_kernel<T, 1>, grid(n), kBlock, 0, src, n, target);
  }
}

template <class T>
void launch_row_scale(const Call& call, const QuantTarget& target, const T* src) {
  const bool vectors =
      target.cols % kVecOf<T> == 0 && aligned_to(src, 16) && aligned_to(target.codes, kVecOf<T>);
  const RowLayout layout = filled_row_layout(target.rows, target.cols, sizeof(T), vectors);
  with_packs(layout.packs, [&](auto packs) {
    launch<Start::overlapped>(call, row_scale_kernel<T, packs>, layout.grid, layout.block, 0, src,
                              target);
  });
}

template <class T>
void launch_packed(const Call& call, const QuantTarget& target, const T* src) {
  const int64_t tiles = target.tiles_down * target.tiles_across;
  const bool small = target.tile_rows * target.tile_cols <= 512;
  launch(call, tile_scale_kernel<T>, dim3(static_cast<unsigned>(tiles)), small ? 32 : kBlock, 0,
         src, target);
  if (target.rows * target.cols == 0) return;
  const int64_t per_run = (target.run + 7) / 8;
  const int64_t units = target.rows * target.cols / target.run * per_run;
  const TileGrid grid{target.cols, target.tile_rows, target.tile_cols, target.tiles_across};
  with_code_format(target.format, [&](auto format) {
    launch(call, packed_kernel<T, decltype(format)::value>, blocks_for(units, kBlock), kBlock, 0,
           src, units, per_run, info(target.format).bits, target, grid);
  });
}

// The operation
// -------------------------------------------------------------------------------------

enum Input : size_t { kX, kScale };

QuantSpec spec_of(const Call& call) { return QuantSpec::parse(call.attrs.get_string("spec")); }

Verdict supports(const Call& call) {
  if (!is_compute_type(dtype_of(call, kX))) return Verdict::no("x is not f32, f16 or bf16");
  return supports_quant(call, spec_of(call), kScale);
}

void launch_quantize(const Call& call, const KernelState*, const Buffers& buffers) {
  const bool rows_first = call.attrs.get_string_or("rows", "leading") == "first";
  const QuantTarget target =
      quant_target(call, &buffers, spec_of(call), rows_first, kScale, buffers.workspace);
  quantize_matrix(call, target, buffers.inputs[kX], dtype_of(call, kX));
}

}  // namespace

void quantize_matrix(const Call& call, const QuantTarget& target, const void* src, DType src_type) {
  with_compute_type(src_type, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto* values = static_cast<const T*>(src);
    if (target.mode == QuantMode::tensor) launch_largest(call, target, values);
    if (!target.is_fused()) {
      launch_packed(call, target, values);
    } else if (target.mode == QuantMode::row) {
      launch_row_scale(call, target, values);
    } else {
      launch_one_scale(call, target, values);
    }
  });
}

const Kernel kQuantize = {
    .name = "quantize_cuda",
    .op = Op::quantize,
    .supports = supports,
    .workspace = [](const Call&, const KernelState*) { return kLargestBytes; },
    .launch = launch_quantize};

}  // namespace octavo::cuda
