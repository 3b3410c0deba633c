#pragma once
// A row that the threads of one blockDim.x share. Either its elements are held in registers, read
// once by 16 bytes, or they are read again at every visit, one by one: any length, any alignment.
#include <type_traits>

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/reduce.cuh"

namespace octavo::cuda {

// 16 bytes of elements as they lie in memory, in words: arrays of shorter elements would be moved
// one by one.
template <class T>
__device__ void widen(const uint4& raw, float (&v)[16 / sizeof(T)]) {
  const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (std::is_same_v<T, float>) {
      v[i] = __uint_as_float(words[i]);
    } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
      v[2 * i] = __uint_as_float(words[i] << 16);
      v[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    } else {
      const float2 pair = __half22float2(reinterpret_cast<const __half2&>(words[i]));
      v[2 * i] = pair.x, v[2 * i + 1] = pair.y;
    }
  }
}
// Rounded to nearest even.
template <class T>
__device__ uint4 narrow(const float (&v)[16 / sizeof(T)]) {
  uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (std::is_same_v<T, float>) {
      words[i] = __float_as_uint(v[i]);
    } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
      const __nv_bfloat162 pair = __floats2bfloat162_rn(v[2 * i], v[2 * i + 1]);
      words[i] = reinterpret_cast<const uint32_t&>(pair);
    } else {
      const __half2 pair = __floats2half2_rn(v[2 * i], v[2 * i + 1]);
      words[i] = reinterpret_cast<const uint32_t&>(pair);
    }
  }
  return {words[0], words[1], words[2], words[3]};
}

// 1 / sqrt(v) within a unit in the last place.
__device__ inline float inverse_root(float v) {
  const float r = rsqrtf(v), error = fmaf(-v * r, r, 1.0f);
  return error == error ? fmaf(0.5f * r, error, r) : r;  // 0 and infinity are r's business
}

// Visits are f(col, v): v are neighbouring elements from col on. kFilled: of a thread's packs only
// the last may lie behind the end.
template <class T, int kPacks, bool kFilled>
class HeldRow {
 public:
  static constexpr bool kHeld = true;  // what a visit does to v lasts
  static constexpr int kVec = 16 / sizeof(T);
  using Values = float[kVec];

  __device__ HeldRow(const T* src, int64_t cols) : cols_(static_cast<int>(cols)) {
    uint4 raw[kPacks];
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      raw[p] = {};
      if (has(p)) raw[p] = *reinterpret_cast<const uint4*>(src + col(p));
    }
#pragma unroll
    for (int p = 0; p < kPacks; ++p) widen<T>(raw[p], v_[p]);
  }

  template <class F>
  __device__ void each(F&& f) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (has(p)) f(col(p), v_[p]);
    }
  }
  __device__ int col(int p) const {
    return (p * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kVec;
  }
  __device__ bool has(int p) const { return (kFilled && p < kPacks - 1) || col(p) < cols_; }

  __device__ Values& values(int p) { return v_[p]; }

  // Elements of this thread (none: 1 / count is 0) and of its warp, if kFilled.
  __device__ float count() const { return has(kPacks - 1) ? kMost : kMost - kVec; }
  __device__ float count_reciprocal() const {
    constexpr float kLess = kPacks > 1 ? 1.0f / (kPacks > 1 ? kMost - kVec : 1) : 0.0f;
    return has(kPacks - 1) ? 1.0f / kMost : kLess;
  }
  __device__ float warp_count() const {
    const int first = col(kPacks - 1) - static_cast<int>(threadIdx.x % 32) * kVec;
    return static_cast<float>((kMost - kVec) * 32 + min(max(cols_ - first, 0), 32 * kVec));
  }

 private:
  static constexpr int kMost = kPacks * kVec;
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
  __device__ float count() const {
    const int64_t first = threadIdx.x;
    return first < cols_ ? static_cast<float>((cols_ - first - 1) / blockDim.x + 1) : 0.0f;
  }
  __device__ float count_reciprocal() const { return count() > 0 ? 1.0f / count() : 0.0f; }
  __device__ float warp_count() const { return reduce_lanes<Sum>(count()); }

 private:
  const T* src_;
  int64_t cols_;
};

template <class T, int kPacks, bool kFilled>
struct RowOf {
  using type = HeldRow<T, kPacks, kFilled>;
};
template <class T, bool kFilled>
struct RowOf<T, 0, kFilled> {
  using type = StreamedRow<T>;
};

// Threads of a row; kernels over rows are compiled for this many a block.
constexpr int kMostRowThreads = 512;

// How rows of `cols` elements are laid over blocks; packs is 0 for a streamed row.
struct RowLayout {
  int packs = 0;
  dim3 block, grid;
};
inline RowLayout layout_of(int packs, int64_t threads, int64_t rows) {
  constexpr int64_t kGridLimit = 0x7fffffff;
  const int64_t together = threads == 32 ? 4 : 1;
  return {packs, dim3(static_cast<unsigned>(threads), static_cast<unsigned>(together)),
          dim3(static_cast<unsigned>(std::min((rows + together - 1) / together, kGridLimit)))};
}
// vectors: all addresses and the row's length allow 16-byte accesses.
inline RowLayout row_layout(int64_t rows, int64_t cols, size_t element_bytes, bool vectors) {
  constexpr int64_t kEnough = 256, kMostPacks = 4;
  const int64_t units = vectors ? cols * static_cast<int64_t>(element_bytes) / 16 : cols;
  const auto threads_for = [&](int64_t each) { return ((units + each - 1) / each + 31) / 32 * 32; };
  int packs = 0;
  int64_t threads = 0;
  if (vectors && threads_for(kMostPacks) <= kMostRowThreads) {
    packs = 1;
    while (packs < kMostPacks && threads_for(packs) > kEnough) packs *= 2;
    threads = threads_for(packs);
  } else {
    threads = std::min<int64_t>(threads_for(4), kMostRowThreads);
  }
  return layout_of(packs, std::max<int64_t>(threads, 32), rows);
}
// The same for FilledRow, whose threads reduce: few warps with three or four packs each.
inline RowLayout filled_row_layout(int64_t rows, int64_t cols, size_t element_bytes, bool vectors) {
  const int64_t units = vectors ? cols * static_cast<int64_t>(element_bytes) / 16 : 0;
  for (const int packs : {3, 4, 2, 1}) {
    const int64_t threads = ((units + packs - 1) / packs + 31) / 32 * 32;
    if (units == 0 || threads > kMostRowThreads || (packs - 1) * threads >= units) continue;
    return layout_of(packs, threads, rows);
  }
  return row_layout(rows, cols, element_bytes, false);
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
    case 3:
      return body(std::integral_constant<int, 3>{});
    default:
      return body(std::integral_constant<int, 4>{});
  }
}

template <class T, int kPacks>
using Row = typename RowOf<T, kPacks, false>::type;
template <class T, int kPacks>
using FilledRow = typename RowOf<T, kPacks, true>::type;

// N neighbouring elements of a parameter, from a multiple of N on; N > 1: `from.data` is aligned to
// 16 bytes.
template <int N, class T>
__device__ void load_floats(const T* from, float (&v)[N]) {
  constexpr int kVec = 16 / sizeof(T);
  if constexpr (N % kVec == 0) {
#pragma unroll
    for (int i = 0; i < N; i += kVec) {
      float part[kVec];
      widen<T>(*reinterpret_cast<const uint4*>(from + i), part);
#pragma unroll
      for (int j = 0; j < kVec; ++j) v[i + j] = part[j];
    }
  } else {
    const auto raw = *reinterpret_cast<const Pack<T, N>*>(from);
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = to_float(raw.v[i]);
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
  constexpr int kVec = 16 / sizeof(T);
  if constexpr (N % kVec == 0) {
#pragma unroll
    for (int i = 0; i < N; i += kVec) {
      float part[kVec];
#pragma unroll
      for (int j = 0; j < kVec; ++j) part[j] = v[i + j];
      *reinterpret_cast<uint4*>(to + i) = narrow<T>(part);
    }
  } else {
    Pack<T, N> out;
#pragma unroll
    for (int i = 0; i < N; ++i) out.v[i] = from_float<T>(v[i]);
    *reinterpret_cast<Pack<T, N>*>(to) = out;
  }
}

inline bool aligned_to(const void* address, size_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % bytes == 0;
}

}  // namespace octavo::cuda
