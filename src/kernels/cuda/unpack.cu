// Operands on their way into a product: codes become values of the type that is multiplied, rows
// get the padding that the product wants, convolutions are laid out as matrices.
#include "kernels/cuda/operand.cuh"

namespace octavo::cuda {
namespace {

constexpr int kRun = 8;  // elements of one thread: whole bytes in every format
constexpr int kBlock = 128;
constexpr int64_t kMostRows = 32768;

// Elements [col, col + kRun) of row i as values; zero beyond the matrix.
__device__ void load_run(const MatrixElements& m, int64_t i, int64_t col, float (&v)[kRun]) {
  const uint8_t* row = m.row(i);
#pragma unroll
  for (int u = 0; u < kRun; ++u) {
    v[u] = i < m.m.rows && col + u < m.m.cols ? load_element(m.m.dtype, row, col + u) : 0.0f;
  }
  const ScaleGrid& grid = m.m.grid;
  if (grid.scale == nullptr || i >= m.m.rows) return;
  const int64_t first = i / grid.tile_rows * grid.across;
  int64_t tile = col / grid.tile_cols, left = grid.tile_cols - (col - tile * grid.tile_cols);
#pragma unroll
  for (int u = 0; u < kRun; ++u) {
    if (col + u >= m.m.cols) return;
    const float zero = grid.zero_point ? grid.zero_point[first + tile] : 0.0f;
    v[u] = (v[u] - zero) * grid.scale[first + tile];
    if (--left == 0) {
      left = grid.tile_cols;
      ++tile;
    }
  }
}

// The largest part of each value that T holds; v keeps the rest.
template <class T>
__device__ Pack<T, kRun> take(float (&v)[kRun]) {
  Pack<T, kRun> part;
#pragma unroll
  for (int u = 0; u < kRun; ++u) {
    part.v[u] = from_float<T>(v[u]);
    v[u] = v[u] - to_float(part.v[u]);
  }
  return part;
}

template <class T>
__global__ void unpack_kernel(MatrixElements m, int64_t first, Unpacked to) {
  const int64_t col = (int64_t{blockIdx.x} * kBlock + threadIdx.x) * kRun;
  if (col >= to.ld) return;
  for (int64_t i = blockIdx.y; i < to.rows; i += gridDim.y) {
    float v[kRun];
    load_run(m, first + i, col, v);
    T* out = static_cast<T*>(to.data) + i * to.ld + col;
    for (int term = 0; term < to.terms; ++term) {
      *reinterpret_cast<Pack<T, kRun>*>(out + term * to.plane) = take<T>(v);
    }
  }
}

__global__ void copy_bytes_kernel(MatrixElements m, int64_t first, Unpacked to) {
  const int64_t col = (int64_t{blockIdx.x} * kBlock + threadIdx.x) * kRun;
  if (col >= to.ld) return;
  for (int64_t i = blockIdx.y; i < to.rows; i += gridDim.y) {
    Pack<uint8_t, kRun> codes;
#pragma unroll
    for (int u = 0; u < kRun; ++u) {
      const bool inside = first + i < m.m.rows && col + u < m.m.cols;
      codes.v[u] = inside ? m.row(first + i)[col + u] : 0;
    }
    *reinterpret_cast<Pack<uint8_t, kRun>*>(static_cast<uint8_t*>(to.data) + i * to.ld + col) =
        codes;
  }
}

// One pixel a thread, so that reads and writes of a warp are neighbours.
template <class T>
__global__ void patches_by_tap(PatchElements x, int64_t first, int64_t pixels, Unpacked to) {
  const int64_t pixel = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (pixel >= to.ld) return;
  const bool inside = pixel < pixels;
  const auto place = x.place(first + pixel);
  for (int64_t tap = blockIdx.y; tap < to.rows; tap += gridDim.y) {
    int64_t line, column;
    float v = 0;
    if (inside && x.locate(place, tap, &line, &column)) {
      v = load_element(x.x.dtype, x.row(line), column);
    }
    static_cast<T*>(to.data)[tap * to.ld + pixel] = from_float<T>(v);
  }
}

// Codes, transposed through shared memory: read by pixel, written by tap, four a thread.
constexpr int kTilePixels = 32, kTileTaps = 128, kTileRows = 8;
__global__ void patches_by_pixel(PatchElements x, int64_t first, int64_t pixels, Unpacked to) {
  __shared__ uint32_t words[kTilePixels][kTileTaps / 4 + 1];
  auto* tile = reinterpret_cast<uint8_t*>(words);
  constexpr int kPitch = sizeof(words[0]);
  const int64_t pixel0 = int64_t{blockIdx.x} * kTilePixels, pixel = pixel0 + threadIdx.x;
  const auto place = x.place(first + pixel);
  for (int64_t tap0 = int64_t{blockIdx.y} * kTileTaps; tap0 < to.ld;
       tap0 += int64_t{gridDim.y} * kTileTaps) {
    for (int t = threadIdx.y; t < kTileTaps; t += kTileRows) {
      int64_t line, column;
      const bool inside = pixel < pixels && tap0 + t < x.x.channels * x.x.kernel_h * x.x.kernel_w;
      const bool real = inside && x.locate(place, tap0 + t, &line, &column);
      tile[threadIdx.x * kPitch + t] = real ? x.row(line)[column] : 0;
    }
    __syncthreads();
    const int64_t tap = tap0 + threadIdx.x * 4;
    for (int p = threadIdx.y; p < kTilePixels; p += kTileRows) {
      if (pixel0 + p < to.rows && tap < to.ld) {
        auto* out = static_cast<uint8_t*>(to.data) + (pixel0 + p) * to.ld + tap;
        *reinterpret_cast<uint32_t*>(out) = words[p][threadIdx.x];
      }
    }
    __syncthreads();
  }
}

dim3 grid_of(int64_t across, int64_t down) {
  return dim3(static_cast<unsigned>(across), static_cast<unsigned>(std::min(down, kMostRows)));
}

int64_t pieces(int64_t n, int64_t piece) { return (n + piece - 1) / piece; }

}  // namespace

void unpack(const Call& call, const Matrix& m, int64_t row, const Unpacked& to) {
  const MatrixElements elements(m);
  const dim3 grid = grid_of(pieces(to.ld, int64_t{kBlock} * kRun), to.rows);
  if (to.dtype == DType::i8 || to.dtype == DType::e4m3) {
    return launch(call, copy_bytes_kernel, grid, kBlock, 0, elements, row, to);
  }
  with_compute_type(to.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    launch(call, unpack_kernel<T>, grid, kBlock, 0, elements, row, to);
  });
}

void unpack_patches(const Call& call, const Patches& x, int64_t pixel, int64_t pixels, bool by_tap,
                    const Unpacked& to) {
  const PatchElements elements(x);
  if (!by_tap) {
    const dim3 grid = grid_of(pieces(to.rows, kTilePixels), pieces(to.ld, kTileTaps));
    return launch(call, patches_by_pixel, grid, dim3(kTilePixels, kTileRows), 0, elements, pixel,
                  pixels, to);
  }
  with_compute_type(to.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    launch(call, patches_by_tap<T>, grid_of(pieces(to.ld, kBlock), pieces(to.rows, 4)), kBlock, 0,
           elements, pixel, pixels, to);
  });
}

namespace {

__global__ void widen_kernel(DType dtype, const uint8_t* src, float* dst, int64_t n) {
  const int64_t i = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (i < n) dst[i] = load_element(dtype, src, i);
}

}  // namespace

void widen(const Call& call, DType dtype, const void* src, float* dst, int64_t n) {
  launch(call, widen_kernel, blocks_for(n, kBlock, INT32_MAX), kBlock, 0, dtype,
         static_cast<const uint8_t*>(src), dst, n);
}

}  // namespace octavo::cuda
