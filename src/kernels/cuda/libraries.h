#pragma once
// cuBLASLt on one device. The library is loaded when it is first asked for, so that a binary built
// with CUDA starts on machines without it; what needs it there is refused with the loader's reason.
#include <cublasLt.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "tensor/dtype.h"

namespace octavo::cuda {

class CudaDevice;

// D[m, n] = A[m, k] B[n, k]^T, all row-major, `ld` elements from row to row. Sums are f32 without
// TF32 (i8: int32). Addresses are multiples of kProductAlignment, but for strides that are not.
struct Product {
  enum class Scales : uint8_t { none, tensor, rows };  // of A and B; rows: m and n values

  DType ab = DType::f32;  // f32, bf16, f16, i8, e4m3
  DType d = DType::f32;   // f32 or a 16-bit type; i32 for i8
  int64_t m = 0, n = 0, k = 0;
  int64_t lda = 0, ldb = 0, ldd = 0;
  bool b_is_kn = false;                                         // B is stored [k, n]
  int64_t batch = 1, stride_a = 0, stride_b = 0, stride_d = 0;  // elements
  bool add = false;              // D = A B^T + C before the rounding; C lies as D does and may be D
  bool bias = false;             // a vector [n] of d's type, added before the rounding
  Scales scales = Scales::none;  // f32, for e4m3
  bool fast = false;             // e4m3: sums stay in the tensor cores
  bool unsplit = false;          // every sum runs along all of k in one piece
  bool operator==(const Product&) const = default;
};
constexpr size_t kProductAlignment = 16;
std::string to_string(const Product& product);

struct ProductOperands {
  const void *a = nullptr, *b = nullptr, *c = nullptr, *bias = nullptr;
  const float *a_scale = nullptr, *b_scale = nullptr;
  void* d = nullptr;
};

// A product with the algorithm that was chosen for it. Reduction schemes that depend on timing or
// round partial sums to 16 bits are not considered, so equal operands give equal bits.
class ChosenProduct {
 public:
  ~ChosenProduct();
  size_t workspace_bytes() const { return workspace_bytes_; }
  // Enqueues; the workspace is aligned to 256 bytes.
  void run(cudaStream_t stream, const ProductOperands& operands, void* workspace) const;

 private:
  friend class Libraries;
  ChosenProduct() = default;
  Product product_;
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t desc_ = nullptr;
  cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, d_ = nullptr;  // in cuBLASLt's order
  cublasLtMatmulAlgo_t algorithm_ = {};
  size_t workspace_bytes_ = 0;
};

class Libraries {
 public:
  explicit Libraries(CudaDevice& device);
  ~Libraries();
  Libraries(const Libraries&) = delete;
  Libraries& operator=(const Libraries&) = delete;

  // The product, chosen on the first call and kept; nullptr and why where there is none. Takes
  // up to a millisecond, so kernels call it while planning: from supports() and workspace().
  const ChosenProduct* find(const Product& product, std::string* reason);
  // One that find() has found. Error{internal} otherwise.
  const ChosenProduct& get(const Product& product);

 private:
  struct Hash {
    size_t operator()(const Product& product) const;
  };
  struct Entry {
    std::unique_ptr<ChosenProduct> chosen;
    std::string reason;
  };
  Entry choose(const Product& product);
  std::unique_ptr<ChosenProduct> describe(const Product& product);

  CudaDevice& device_;
  cublasLtHandle_t handle_ = nullptr;
  std::unordered_map<Product, Entry, Hash> products_;
};

}  // namespace octavo::cuda
