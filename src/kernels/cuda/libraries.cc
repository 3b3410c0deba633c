#include "kernels/cuda/libraries.h"

#include <dlfcn.h>

#include "base/check.h"
#include "kernels/cuda/device.h"

namespace octavo::cuda {
namespace {

// The functions of cuBLASLt that are used; `missing` says why there are none.
struct CublasLt {
  decltype(&cublasLtGetVersion) version = nullptr;
  decltype(&cublasLtGetStatusString) status_text = nullptr;
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtMatmulDescCreate) desc_create = nullptr;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  std::string missing;
};

template <class F>
void resolve(CublasLt& lt, void* library, const char* symbol, F& function) {
  function = reinterpret_cast<F>(dlsym(library, symbol));
  if (function == nullptr && lt.missing.empty()) {
    lt.missing = fmt::format("cuBLASLt has no {}", symbol);
  }
}

CublasLt load() {
  CublasLt lt;
  void* library = nullptr;
  std::string reason;
  for (const char* name : {"libcublasLt.so.13", "libcublasLt.so"}) {
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
    const char* error = dlerror();
    if (reason.empty()) reason = error != nullptr ? error : name;
  }
  if (library == nullptr) {
    lt.missing = "cuBLASLt cannot be loaded: " + reason;
    return lt;
  }
  resolve(lt, library, "cublasLtGetVersion", lt.version);
  resolve(lt, library, "cublasLtGetStatusString", lt.status_text);
  resolve(lt, library, "cublasLtCreate", lt.create);
  resolve(lt, library, "cublasLtDestroy", lt.destroy);
  resolve(lt, library, "cublasLtMatmulDescCreate", lt.desc_create);
  resolve(lt, library, "cublasLtMatmulDescDestroy", lt.desc_destroy);
  resolve(lt, library, "cublasLtMatmulDescSetAttribute", lt.desc_set);
  resolve(lt, library, "cublasLtMatrixLayoutCreate", lt.layout_create);
  resolve(lt, library, "cublasLtMatrixLayoutDestroy", lt.layout_destroy);
  resolve(lt, library, "cublasLtMatrixLayoutSetAttribute", lt.layout_set);
  resolve(lt, library, "cublasLtMatmulPreferenceCreate", lt.preference_create);
  resolve(lt, library, "cublasLtMatmulPreferenceDestroy", lt.preference_destroy);
  resolve(lt, library, "cublasLtMatmulPreferenceSetAttribute", lt.preference_set);
  resolve(lt, library, "cublasLtMatmulAlgoGetHeuristic", lt.heuristic);
  resolve(lt, library, "cublasLtMatmul", lt.matmul);
  // Attributes are told by number: a library of another major version is not the one compiled for.
  if (lt.missing.empty() && lt.version() / 10000 != CUBLAS_VER_MAJOR) {
    lt.missing = fmt::format("cuBLASLt {} is installed; this build needs {}.x",
                             lt.version() / 10000, CUBLAS_VER_MAJOR);
  }
  return lt;
}

const CublasLt& lt() {
  static const CublasLt instance = load();
  return instance;
}

void check(cublasStatus_t status, const Product& product, const char* what) {
  OCTAVO_CHECK_CODE(device, status == CUBLAS_STATUS_SUCCESS, "cuBLASLt, {} of {}: {}", what,
                    to_string(product), lt().status_text(status));
}

cudaDataType_t type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDA_R_32F;
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f16:
      return CUDA_R_16F;
    case DType::e4m3:
      return CUDA_R_8F_E4M3;
    case DType::i8:
      return CUDA_R_8I;
    case DType::i32:
      return CUDA_R_32I;
    default:
      OCTAVO_FAIL(internal, "cuBLASLt is not used with {}", name(dtype));
  }
}

// Its matrices are column-major, where D^T[n, m] = op(B) A^T: their A is our B.
cublasLtMatrixLayout_t layout(const Product& p, DType dtype, int64_t rows, int64_t cols, int64_t ld,
                              int64_t stride) {
  cublasLtMatrixLayout_t result = nullptr;
  check(lt().layout_create(&result, type(dtype), static_cast<uint64_t>(rows),
                           static_cast<uint64_t>(cols), ld),
        p, "a layout");
  if (p.batch == 1) return result;
  const auto batch = static_cast<int32_t>(p.batch);
  check(lt().layout_set(result, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof(batch)), p,
        "a layout");
  check(
      lt().layout_set(result, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof(stride)),
      p, "a layout");
  return result;
}

template <class T>
void set(cublasLtMatmulDesc_t desc, const Product& p, cublasLtMatmulDescAttributes_t attribute,
         const T& value) {
  check(lt().desc_set(desc, attribute, &value, sizeof(value)), p, "a description");
}

void set_scales(cublasLtMatmulDesc_t desc, const Product& p, const void* a, const void* b) {
  if (p.scales == Product::Scales::none) return;
  set(desc, p, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, b);
  set(desc, p, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, a);
}

void fill_desc(cublasLtMatmulDesc_t& desc, const Product& p) {
  const bool integer = p.ab == DType::i8;
  check(lt().desc_create(&desc, integer ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
                         integer ? CUDA_R_32I : CUDA_R_32F),
        p, "a description");
  const int32_t op = p.b_is_kn ? CUBLAS_OP_N : CUBLAS_OP_T;
  set(desc, p, CUBLASLT_MATMUL_DESC_TRANSA, op);
  // The heuristic derives alignments from addresses that it does not read.
  const auto* somewhere = reinterpret_cast<const void*>(kProductAlignment);
  if (p.bias) {
    const int32_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    set(desc, p, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    set(desc, p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, somewhere);
    const int32_t bias_type = type(p.d);
    set(desc, p, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias_type);
  }
  if (p.ab == DType::e4m3) {
    const int8_t fast = p.fast ? 1 : 0;
    set(desc, p, CUBLASLT_MATMUL_DESC_FAST_ACCUM, fast);
  }
  if (p.scales == Product::Scales::rows) {
    const int32_t mode = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    set(desc, p, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, mode);
    set(desc, p, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, mode);
  }
  set_scales(desc, p, somewhere, somewhere);
}

// What addresses of one operand are multiples of in every product of the batch.
uint32_t alignment(const Product& p, DType dtype, int64_t stride) {
  auto result = static_cast<int64_t>(kProductAlignment);
  const int64_t bytes = p.batch == 1 ? 0 : stride * info(dtype).bits / 8;
  while (bytes % result != 0) result /= 2;
  return static_cast<uint32_t>(result);
}

struct Preference {
  cublasLtMatmulPreference_t value = nullptr;
  Preference(const Product& p, size_t workspace_limit) {
    check(lt().preference_create(&value), p, "a preference");
    set(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(workspace_limit));
    set(p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<uint32_t>(p.unsplit ? CUBLASLT_REDUCTION_SCHEME_NONE
                                        : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    set(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(p, p.ab, p.stride_b));
    set(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(p, p.ab, p.stride_a));
    set(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(p, p.d, p.stride_d));
    set(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(p, p.d, p.stride_d));
  }
  ~Preference() { lt().preference_destroy(value); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;

 private:
  template <class T>
  void set(const Product& p, cublasLtMatmulPreferenceAttributes_t attribute, T setting) {
    check(lt().preference_set(value, attribute, &setting, sizeof(setting)), p, "a preference");
  }
};

size_t workspace_limit(const CudaDevice& device) {
  return device.info().arch >= 90 ? size_t{32} << 20 : size_t{4} << 20;
}

}  // namespace

std::string to_string(const Product& p) {
  constexpr const char* kScales[] = {"", ", tensor scales", ", row scales"};
  return fmt::format("{} x {} -> {}, m {} n {} k {} ({} {} {}){}{}{}{}{}{}{}", name(p.ab),
                     name(p.ab), name(p.d), p.m, p.n, p.k, p.lda, p.ldb, p.ldd,
                     p.b_is_kn ? " B[k, n]" : "", p.batch > 1 ? fmt::format(" x {}", p.batch) : "",
                     p.add ? ", added" : "", p.bias ? ", bias" : "",
                     kScales[static_cast<size_t>(p.scales)], p.fast ? ", fast accumulation" : "",
                     p.unsplit ? ", unsplit" : "");
}

ChosenProduct::~ChosenProduct() {
  if (a_) lt().layout_destroy(a_);
  if (b_) lt().layout_destroy(b_);
  if (d_) lt().layout_destroy(d_);
  if (desc_) lt().desc_destroy(desc_);
}

void ChosenProduct::run(cudaStream_t stream, const ProductOperands& o, void* workspace) const {
  if (product_.bias) set(desc_, product_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, o.bias);
  set_scales(desc_, product_, o.a_scale, o.b_scale);
  const float one = 1, zero = 0;
  const int32_t one_i = 1, zero_i = 0;
  const bool integer = product_.ab == DType::i8;
  const void* alpha = integer ? static_cast<const void*>(&one_i) : &one;
  const void* beta = integer ? static_cast<const void*>(product_.add ? &one_i : &zero_i)
                             : (product_.add ? &one : &zero);
  check(lt().matmul(handle_, desc_, alpha, o.b, a_, o.a, b_, beta, product_.add ? o.c : o.d, d_,
                    o.d, d_, &algorithm_, workspace, workspace_bytes_, stream),
        product_, "the launch");
}

Libraries::Libraries(CudaDevice& device) : device_(device) {}

Libraries::~Libraries() {
  products_.clear();
  if (handle_) lt().destroy(handle_);
}

size_t Libraries::Hash::operator()(const Product& p) const {
  size_t h = static_cast<size_t>(p.ab) * 4096 + static_cast<size_t>(p.d) * 64 +
             static_cast<size_t>(p.scales) * 8 + p.b_is_kn * 4 + p.add * 2 + p.bias +
             (size_t{p.fast} << 20) + (size_t{p.unsplit} << 21);
  for (const int64_t v :
       {p.m, p.n, p.k, p.lda, p.ldb, p.ldd, p.batch, p.stride_a, p.stride_b, p.stride_d}) {
    h = (h ^ static_cast<size_t>(v)) * 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
  }
  return h;
}

std::unique_ptr<ChosenProduct> Libraries::describe(const Product& p) {
  if (!handle_) check(lt().create(&handle_), p, "a handle");
  std::unique_ptr<ChosenProduct> c(new ChosenProduct);
  c->product_ = p;
  c->handle_ = handle_;
  fill_desc(c->desc_, p);
  c->a_ = p.b_is_kn ? layout(p, p.ab, p.n, p.k, p.ldb, p.stride_b)
                    : layout(p, p.ab, p.k, p.n, p.ldb, p.stride_b);
  c->b_ = layout(p, p.ab, p.k, p.m, p.lda, p.stride_a);
  c->d_ = layout(p, p.d, p.n, p.m, p.ldd, p.stride_d);
  return c;
}

Libraries::Entry Libraries::choose(const Product& p) try {
  if (!lt().missing.empty()) return {nullptr, lt().missing};
  device_.activate();
  auto c = describe(p);
  const Preference preference(p, workspace_limit(device_));
  cublasLtMatmulHeuristicResult_t result = {};
  int found = 0;
  const cublasStatus_t status = lt().heuristic(handle_, c->desc_, c->a_, c->b_, c->d_, c->d_,
                                               preference.value, 1, &result, &found);
  if (status != CUBLAS_STATUS_SUCCESS || found == 0 || result.state != CUBLAS_STATUS_SUCCESS) {
    return {nullptr,
            fmt::format("cuBLASLt {} has no algorithm for {}", lt().version(), to_string(p))};
  }
  c->algorithm_ = result.algo;
  c->workspace_bytes_ = result.workspaceSize;
  return {std::move(c), {}};
} catch (const Error& error) {
  return {nullptr, error.what()};  // a description that this library or device does not know
}

const ChosenProduct* Libraries::find(const Product& product, std::string* reason) {
  auto found = products_.find(product);
  if (found == products_.end()) found = products_.emplace(product, choose(product)).first;
  if (!found->second.chosen && reason) *reason = found->second.reason;
  return found->second.chosen.get();
}

const ChosenProduct& Libraries::get(const Product& product) {
  std::string reason;
  const ChosenProduct* found = find(product, &reason);
  OCTAVO_CHECK_CODE(internal, found != nullptr, "{}", reason);
  return *found;
}

}  // namespace octavo::cuda
