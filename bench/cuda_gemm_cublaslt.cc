#include "cuda_gemm_cublaslt.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <vector>

#include "cuda_gemm_check.h"

namespace octavo::bench {
namespace {

using cuda::sm90::Element;
using cuda::sm90::Gemm;

constexpr size_t kWorkspace = 64 << 20;

struct Types {
  cudaDataType_t in, out, scale;
  cublasComputeType_t compute;
};
Types types_of(Element element) {
  if (element == Element::bf16) return {CUDA_R_16BF, CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F};
  if (element == Element::e4m3)
    return {CUDA_R_8F_E4M3, CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F};
  return {CUDA_R_8I, CUDA_R_32I, CUDA_R_32I, CUBLAS_COMPUTE_32I};
}

class Library : public CublasLt {
 public:
  explicit Library(void* library) : library_(library) {
    const auto create = function<decltype(&cublasLtCreate)>("cublasLtCreate");
    create(&handle_);
    workspace_ = device_alloc(kWorkspace);
    one_ = static_cast<float*>(device_alloc(sizeof(float)));
    const float one = 1;
    must(cudaMemcpy(one_, &one, sizeof(one), cudaMemcpyHostToDevice), "memcpy");
  }

  Launch plan(const Gemm& g, const std::function<double(const Launch&)>& seconds) override {
    const Types t = types_of(g.element);
    cublasLtMatmulDesc_t desc = nullptr;
    function<decltype(&cublasLtMatmulDescCreate)>("cublasLtMatmulDescCreate")(&desc, t.compute,
                                                                              t.scale);
    const auto set =
        function<decltype(&cublasLtMatmulDescSetAttribute)>("cublasLtMatmulDescSetAttribute");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    set(desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed));
    if (g.element == Element::e4m3) {
      const int8_t fast = 1;
      set(desc, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &fast, sizeof(fast));
      set(desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &one_, sizeof(one_));
      set(desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &one_, sizeof(one_));
    }
    // Column-major y^T[N, M] = w[N, K] x^T.
    const auto layout = [&](cudaDataType_t type, int64_t rows, int64_t cols) {
      cublasLtMatrixLayout_t l = nullptr;
      function<decltype(&cublasLtMatrixLayoutCreate)>("cublasLtMatrixLayoutCreate")(
          &l, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), rows);
      return l;
    };
    const auto a = layout(t.in, g.k, g.n), b = layout(t.in, g.k, g.m), d = layout(t.out, g.n, g.m);
    return fastest(candidates(desc, a, b, d), desc, a, b, d, g, seconds);
  }

 private:
  template <class F>
  F function(const char* name) const {
    return reinterpret_cast<F>(dlsym(library_, name));
  }

  std::vector<cublasLtMatmulHeuristicResult_t> candidates(cublasLtMatmulDesc_t desc,
                                                          cublasLtMatrixLayout_t a,
                                                          cublasLtMatrixLayout_t b,
                                                          cublasLtMatrixLayout_t d) const {
    cublasLtMatmulPreference_t preference = nullptr;
    function<decltype(&cublasLtMatmulPreferenceCreate)>("cublasLtMatmulPreferenceCreate")(
        &preference);
    function<decltype(&cublasLtMatmulPreferenceSetAttribute)>(
        "cublasLtMatmulPreferenceSetAttribute")(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace, sizeof(kWorkspace));
    std::vector<cublasLtMatmulHeuristicResult_t> found(4);
    int count = 0;
    function<decltype(&cublasLtMatmulAlgoGetHeuristic)>("cublasLtMatmulAlgoGetHeuristic")(
        handle_, desc, a, b, d, d, preference, static_cast<int>(found.size()), found.data(),
        &count);
    found.resize(static_cast<size_t>(count));
    return found;
  }

  Launch fastest(const std::vector<cublasLtMatmulHeuristicResult_t>& found,
                 cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                 cublasLtMatrixLayout_t d, const Gemm& g,
                 const std::function<double(const Launch&)>& seconds) const {
    const auto matmul = function<decltype(&cublasLtMatmul)>("cublasLtMatmul");
    Launch best;
    double least = 0;
    for (const auto& candidate : found) {
      const Launch launch = [=, this, algo = candidate.algo,
                             integer = g.element == Element::i8](const Gemm& o) {
        const void* residual = integer ? nullptr : o.epilogue.residual;
        const float one = 1, zero = residual ? 1 : 0;
        const int32_t i_one = 1, i_zero = 0;
        const void* alpha = integer ? static_cast<const void*>(&i_one) : &one;
        const void* beta = integer ? static_cast<const void*>(&i_zero) : &zero;
        matmul(handle_, desc, alpha, o.w, a, o.x, b, beta, residual ? residual : o.y, d, o.y, d,
               &algo, workspace_, kWorkspace, nullptr);
      };
      const double time = seconds(launch);
      if (!best || time < least) best = launch, least = time;
    }
    return best;
  }

  void* library_;
  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  float* one_ = nullptr;
};

}  // namespace

std::unique_ptr<CublasLt> CublasLt::open() {
  for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"}) {
    if (void* library = dlopen(name, RTLD_NOW)) return std::make_unique<Library>(library);
  }
  return nullptr;
}

}  // namespace octavo::bench
