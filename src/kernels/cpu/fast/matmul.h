#pragma once
// oneDNN matrix products of small fixed extents, one a tile: C[m, n] = A[m, k] B[k, n], always on
// the calling thread. Products are made once for the life of the process and are shared by all
// threads.
#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace octavo::cpu {

// Type triples: (f32, f32, f32), (bf16, bf16, f32), (i8, i8, i32).
struct MatmulDesc {
  DType a = DType::f32, b = DType::f32, c = DType::f32;
  int64_t m = 0, n = 0, k = 0;
  int64_t lda = 0, ldc = 0;      // elements from row to row
  int64_t ldb_k = 0, ldb_n = 0;  // elements from k to k + 1 and n to n + 1; both 0: B is packed
  bool accumulate = false;       // C += A B
  bool operator==(const MatmulDesc&) const = default;
};

class Matmul {
 public:
  // Made on the first call with `desc`, which takes milliseconds: kernels call it while planning.
  static const Matmul& get(const MatmulDesc& desc);

  // c may not overlap a or b; b is packed where desc says so. Thread-safe.
  void run(const void* a, const void* b, void* c) const;

 private:
  friend struct MatmulRegistry;
  struct Impl;
  explicit Matmul(const MatmulDesc& desc, size_t id);
  Impl* impl_;  // never freed
};

// Packing of B depends on types, n and k only.
size_t packed_bytes(DType a, DType b, DType c, int64_t n, int64_t k);
// w[n, k], row-major with rows `ldw` elements apart.
void pack_weights(DType a, DType b, DType c, int64_t n, int64_t k, const void* w, int64_t ldw,
                  void* packed);

}  // namespace octavo::cpu
