#pragma once
// A row that the threads of one blockDim.x share. Either its elements are held in registers, read
// once by 16 bytes, or they are read again at every visit, one by one: any length, any alignment.
#include "kernels/cuda/element.cuh"

namespace octavo::cuda {

// Visits are f(col, v): v are neighbouring elements from col on.
template <class T, int kPacks>
class HeldRow {
 public:
  static constexpr bool kHeld = true;  // what a visit does to v lasts
  static constexpr int kVec = 16 / sizeof(T);
  using Values = float[kVec];

  __device__ HeldRow(const T* src, int64_t cols) : cols_(static_cast<int>(cols)) {
    Pack<T, kVec> raw[kPacks];
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (col(p) < cols_) raw[p] = *reinterpret_cast<const Pack<T, kVec>*>(src + col(p));
    }
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
#pragma unroll
      for (int i = 0; i < kVec; ++i) v_[p][i] = to_float(raw[p].v[i]);
    }
  }

  template <class F>
  __device__ void each(F&& f) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (col(p) < cols_) f(col(p), v_[p]);
    }
  }

 private:
  __device__ int col(int p) const {
    return (p * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kVec;
  }
  int cols_;
  Values v_[kPacks];
};

template <class T>
class StreamedRow {
 public:
  static constexpr bool kHeld = false;
  static constexpr int kVec = 1;
  using Values = float[1];

  __device__ StreamedRow(const T* src, int64_t cols) : src_(src), cols_(cols) {}

  template <class F>
  __device__ void each(F&& f) {
    for (int64_t col = threadIdx.x; col < cols_; col += blockDim.x) {
      Values v = {to_float(src_[col])};
      f(col, v);
    }
  }

 private:
  const T* src_;
  int64_t cols_;
};

template <class T, int kPacks>
struct RowOf {
  using type = HeldRow<T, kPacks>;
};
template <class T>
struct RowOf<T, 0> {
  using type = StreamedRow<T>;
};

// Threads of a row; kernels over rows are compiled for this many a block.
constexpr int kMostRowThreads = 512;

// How rows of `cols` elements are laid over blocks; packs is 0 for a streamed row.
struct RowLayout {
  int packs = 0;
  dim3 block, grid;
};
// vectors: all addresses and the row's length allow 16-byte accesses.
inline RowLayout row_layout(int64_t rows, int64_t cols, size_t element_bytes, bool vectors) {
  constexpr int64_t kEnough = 256, kMostPacks = 4, kGridLimit = 0x7fffffff;
  const int64_t units = vectors ? cols * static_cast<int64_t>(element_bytes) / 16 : cols;
  const auto threads_for = [&](int64_t each) { return ((units + each - 1) / each + 31) / 32 * 32; };
  RowLayout layout;
  int64_t threads = 0;
  if (vectors && threads_for(kMostPacks) <= kMostRowThreads) {
    layout.packs = 1;
    while (layout.packs < kMostPacks && threads_for(layout.packs) > kEnough) layout.packs *= 2;
    threads = threads_for(layout.packs);
  } else {
    threads = std::min<int64_t>(threads_for(4), kMostRowThreads);
  }
  threads = std::max<int64_t>(threads, 32);
  const int64_t together = threads == 32 ? 4 : 1;
  layout.block = dim3(static_cast<unsigned>(threads), static_cast<unsigned>(together));
  layout.grid = dim3(static_cast<unsigned>(std::min((rows + together - 1) / together, kGridLimit)));
  return layout;
}
// body(integral_constant<packs>)
template <class Body>
void with_packs(int packs, Body&& body) {
  switch (packs) {
    case 0:
      return body(std::integral_constant<int, 0>{});
    case 1:
      return body(std::integral_constant<int, 1>{});
    case 2:
      return body(std::integral_constant<int, 2>{});
    default:
      return body(std::integral_constant<int, 4>{});
  }
}

template <class T, int kPacks>
using Row = typename RowOf<T, kPacks>::type;

// N neighbouring elements of a parameter, from a multiple of N on; N > 1: `from.data` is aligned to
// 16 bytes.
template <int N, class T>
__device__ void load_floats(const T* from, float (&v)[N]) {
  constexpr int kStep = N * sizeof(T) > 16 ? 16 / sizeof(T) : N;
#pragma unroll
  for (int i = 0; i < N; i += kStep) {
    const auto raw = *reinterpret_cast<const Pack<T, kStep>*>(from + i);
#pragma unroll
    for (int j = 0; j < kStep; ++j) v[i + j] = to_float(raw.v[j]);
  }
}
template <int N>
__device__ void load_floats(const AnyFloat& from, int64_t at, float (&v)[N]) {
  if (from.dtype == DType::f32) {
    load_floats(static_cast<const float*>(from.data) + at, v);
  } else if (from.dtype == DType::bf16) {
    load_floats(static_cast<const __nv_bfloat16*>(from.data) + at, v);
  } else {
    load_floats(static_cast<const __half*>(from.data) + at, v);
  }
}
// N neighbouring elements, rounded; to a multiple of their size.
template <int N, class T>
__device__ void store_floats(T* to, const float (&v)[N]) {
  constexpr int kStep = N * sizeof(T) > 16 ? 16 / sizeof(T) : N;
#pragma unroll
  for (int i = 0; i < N; i += kStep) {
    Pack<T, kStep> out;
#pragma unroll
    for (int j = 0; j < kStep; ++j) out.v[j] = from_float<T>(v[i + j]);
    *reinterpret_cast<Pack<T, kStep>*>(to + i) = out;
  }
}

inline bool aligned_to(const void* address, size_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % bytes == 0;
}

}  // namespace octavo::cuda
