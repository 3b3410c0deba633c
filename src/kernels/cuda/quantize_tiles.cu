// Quantization of matrices in packed formats, or with scales of groups and tiles, by simple
// kernels.
#include "kernels/cuda/out_quant.cuh"
#include "kernels/cuda/tile_cursor.cuh"

namespace octavo::cuda {
namespace {

constexpr int kBlock = 256;

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

template <class T>
void launch_tiles(const Call& call, const QuantTarget& target, const T* src) {
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

}  // namespace

void quantize_tiles(const Call& call, const QuantTarget& target, const void* src, DType src_type) {
  with_compute_type(src_type, [&](auto type) {
    using T = typename decltype(type)::type;
    launch_tiles(call, target, static_cast<const T*>(src));
  });
}

}  // namespace octavo::cuda
