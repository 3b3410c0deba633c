// Three ways to copy a strided view: whole rows in wide units where the innermost axis is dense in
// the source, tiles through shared memory where another one is, single elements otherwise.
#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/map.cuh"

namespace octavo::cuda {
namespace {

template <class U>
struct Strided {
  const U* src;
  Index<1> index;
  __device__ U operator()(int64_t i) const { return src[index.at(i).of[0]]; }
};

void copy_units(const Call& call, const Axes<1>& axes, int64_t unit, const void* src, void* dst) {
  int64_t n = 1;
  for (const Axis<1>& axis : axes) n *= axis.extent;
  with_unit(unit, [&](auto type) {
    using U = typename decltype(type)::type;
    launch_copy<U>(call, dst, n, Strided<U>{static_cast<const U*>(src), Index<1>(axes)});
  });
}

void copy_rows(const Call& call, Axes<1> axes, int64_t bytes, const void* src, void* dst) {
  CommonUnit unit;
  unit.divides(src).divides(dst).divides(axes[0].extent * bytes);
  for (size_t axis = 1; axis < axes.size(); ++axis) unit.divides(axes[axis].step[0] * bytes);
  axes[0].extent = axes[0].extent * bytes / unit.bytes();
  for (size_t axis = 1; axis < axes.size(); ++axis) {
    axes[axis].step[0] = axes[axis].step[0] * bytes / unit.bytes();
  }
  copy_units(call, axes, unit.bytes(), src, dst);
}

// Matrices: x is dense in the destination, y in the source.
struct Plane {
  int64_t x, y, x_step, y_step;  // x_step in the source, y_step in the destination
  Divisor x_tiles, y_tiles;
  Index<2> matrices;  // offsets in source and destination
};

constexpr int kTileRows = 8;  // threads along the slow side

// V elements move as one in global memory. A tile's rows are an odd number of words apart.
template <class T, int V>
__global__ void transpose_kernel(const T* src, T* dst, const __grid_constant__ Plane plane) {
  constexpr int kTile = 32 * V, kPad = sizeof(T) < 4 ? 4 / sizeof(T) : 1;
  alignas(16) __shared__ T tile[kTile][kTile + kPad];
  await_earlier_launches();
  const int64_t tiles = plane.x_tiles.quotient(blockIdx.x);
  const int64_t matrix = plane.y_tiles.quotient(tiles);
  const int64_t x0 = (blockIdx.x - tiles * plane.x_tiles.value) * kTile;
  const int64_t y0 = (tiles - matrix * plane.y_tiles.value) * kTile;
  const Offsets<2> at = plane.matrices.at(matrix);
  const int pack = threadIdx.x * V;
#pragma unroll
  for (int row = threadIdx.y; row < kTile; row += kTileRows) {
    if (x0 + row >= plane.x || y0 + pack >= plane.y) continue;
    const T* from = src + at.of[0] + (x0 + row) * plane.x_step + y0 + pack;
    *reinterpret_cast<Pack<T, V>*>(&tile[row][pack]) = *reinterpret_cast<const Pack<T, V>*>(from);
  }
  __syncthreads();
#pragma unroll
  for (int row = threadIdx.y; row < kTile; row += kTileRows) {
    if (x0 + pack >= plane.x || y0 + row >= plane.y) continue;
    Pack<T, V> out;
#pragma unroll
    for (int v = 0; v < V; ++v) out.v[v] = tile[pack + v][row];
    T* to = dst + at.of[1] + (y0 + row) * plane.y_step + x0 + pack;
    *reinterpret_cast<Pack<T, V>*>(to) = out;
  }
}

template <class T, int V>
void launch_tiles(const Call& call, Plane plane, int64_t matrices, const void* src, void* dst) {
  constexpr int kTile = 32 * V;
  plane.x_tiles = Divisor((plane.x + kTile - 1) / kTile);
  plane.y_tiles = Divisor((plane.y + kTile - 1) / kTile);
  const int64_t tiles = plane.x_tiles.value * plane.y_tiles.value * matrices;
  if (tiles > std::numeric_limits<int>::max()) fail(call, "too many elements to transpose");
  launch<Start::overlapped>(call, transpose_kernel<T, V>, dim3(static_cast<unsigned>(tiles)),
                            dim3(32, kTileRows), 0, src, dst, plane);
}

// `other` is the axis that is dense in the source.
void copy_tiles(const Call& call, const Axes<1>& axes, size_t other, int64_t bytes, const void* src,
                void* dst) {
  Axes<2> outer;
  int64_t matrices = 1, step = 1, y_step = 1;
  CommonUnit unit;
  unit.divides(src).divides(dst).divides(axes[0].extent * bytes).divides(axes[0].step[0] * bytes);
  for (size_t axis = 0; axis < axes.size(); ++axis) {
    if (axis == other) {
      y_step = step;
      unit.divides(axes[axis].extent * bytes).divides(step * bytes);
    } else if (axis > 0) {
      outer.push_back({axes[axis].extent, {axes[axis].step[0], step}});
      unit.divides(axes[axis].step[0] * bytes).divides(step * bytes);
      matrices *= axes[axis].extent;
    }
    step *= axes[axis].extent;
  }
  const Plane plane{axes[0].extent, axes[other].extent, axes[0].step[0], y_step, {}, {},
                    Index<2>(outer)};
  const bool words = unit.bytes() >= 4;
  if (bytes == 1 && words) return launch_tiles<uint8_t, 4>(call, plane, matrices, src, dst);
  if (bytes == 1) return launch_tiles<uint8_t, 1>(call, plane, matrices, src, dst);
  if (bytes == 2 && words) return launch_tiles<uint16_t, 2>(call, plane, matrices, src, dst);
  if (bytes == 2) return launch_tiles<uint16_t, 1>(call, plane, matrices, src, dst);
  if (bytes == 4) return launch_tiles<uint32_t, 1>(call, plane, matrices, src, dst);
  launch_tiles<uint64_t, 1>(call, plane, matrices, src, dst);
}

}  // namespace

void strided_copy(const Call& call, const Axes<1>& axes, int64_t bytes, const void* src,
                  void* dst) {
  constexpr int64_t kLeastTile = 16;  // thinner matrices leave most of a tile empty
  for (const Axis<1>& axis : axes) {
    if (axis.extent == 0) return;
  }
  const Axes<1> loop = merged(axes);
  if (loop[0].step[0] == 1) return copy_rows(call, loop, bytes, src, dst);
  for (size_t axis = 1; loop[0].extent >= kLeastTile && axis < loop.size(); ++axis) {
    if (loop[axis].step[0] == 1 && loop[axis].extent >= kLeastTile) {
      return copy_tiles(call, loop, axis, bytes, src, dst);
    }
  }
  copy_units(call, loop, bytes, src, dst);
}

}  // namespace octavo::cuda
