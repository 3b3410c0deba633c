// The host's side: what is refused, which variant is taken, tensor maps and the launch.
#include "kernels/cuda/sm90/gemm.h"

#include <cuda.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/cuda/sm90/instance.h"

namespace octavo::cuda::sm90 {
namespace {

int bytes_of(Element element) { return element == Element::bf16 ? 2 : 1; }
int bytes_of(Output output) { return output == Output::f32 ? 4 : output == Output::bf16 ? 2 : 1; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

const std::vector<Instance>& instances() {
  static const std::vector<Instance> all = [] {
    std::vector<Instance> list;
    for (const auto part :
         {gemm_bf16_instances(), gemm_e4m3_instances(), gemm_e4m3_codes_instances(),
          gemm_i8_instances(), gemm_i8_codes_instances()}) {
      list.insert(list.end(), part.begin(), part.end());
    }
    return list;
  }();
  return all;
}

bool can_run(const Instance& i, const Gemm& gemm) {
  const Activation a = gemm.epilogue.activation;
  return i.element == gemm.element && i.output == gemm.output &&
         (a == Activation::none || a == Activation::gelu_tanh ||
          has_all_activations(i.variant.tile_n));
}

// Clocks of a multiprocessor, by constants measured on an H200 (bench/cuda_gemm.cu).
double estimate(const Gemm& gemm, const Variant& v, int processors) {
  const int64_t rows = ceil_div(ceil_div(gemm.m, v.tile_m), v.cluster);
  const int64_t tiles = rows * ceil_div(gemm.n, v.tile_n), clusters = processors / v.cluster;
  const double k_blocks = static_cast<double>(ceil_div(gemm.k * bytes_of(gemm.element), kRowBytes));
  // A stage is four products of tile_n / 2 clocks for each 64 rows, which read their operands from
  // shared memory at 128 bytes a clock while the next stage is written there; a multiprocessor
  // fetches about 48 bytes a clock.
  const double tile_m = v.tile_m, tile_n = v.tile_n, blocks = tile_m / 64;
  const double products = 4 * blocks * tile_n / 2 * (v.accurate ? 1.25 : 1.0);
  const double shared = (blocks * (64 + tile_n) + tile_m + tile_n) * kRowBytes / 128.0;
  const double fetch = (tile_m + tile_n / v.cluster) * kRowBytes / 48.0;
  // Warpgroups that share a tile drift apart and hold stages longer.
  const double stage = (std::max({products, shared, fetch}) + 40) * (v.turns ? 1.0 : 1.25);
  // A residual is read with its latency exposed.
  const double residual = gemm.epilogue.residual ? 4 * tile_m * tile_n : 0;
  const double epilogue = 500 + 6 * tile_n * blocks + residual;
  const double start = 3000 + (v.cluster > 1 ? 1000 : 0), sums = k_blocks * stage;
  const auto waves = static_cast<double>(ceil_div(tiles, clusters));
  if (!v.turns) return start + waves * (sums + epilogue);
  return start + waves * std::max(sums, (sums + epilogue) / 2) + epilogue;
}

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                            const cuuint64_t*, const cuuint32_t*, const cuuint32_t*,
                            CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
                            CUtensorMapFloatOOBfill);

// The driver's encoder of tensor maps, which is not in the runtime; nullptr if the driver has none.
Encode find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                       cudaEnableDefault, &found) != cudaSuccess ||
      found != cudaDriverEntryPointSuccess) {
    return nullptr;
  }
  return reinterpret_cast<Encode>(function);
}

struct Box {
  int rows, cols;
};

// A dense row-major matrix of elements of `bytes` bytes, seen in boxes whose rows are one span of
// the swizzle.
bool make_map(CUtensorMap* map, int bytes, const void* data, int64_t rows, int64_t cols, Box box) {
  static const Encode encode = find_encode();
  if (!encode) return false;
  const CUtensorMapDataType type = bytes == 4   ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32
                                   : bytes == 2 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                                : CU_TENSOR_MAP_DATA_TYPE_UINT8;
  const int span = box.cols * bytes;
  const CUtensorMapSwizzle swizzle = span == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
                                     : span == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                                                  : CU_TENSOR_MAP_SWIZZLE_32B;
  const cuuint64_t extents[2] = {static_cast<cuuint64_t>(cols), static_cast<cuuint64_t>(rows)};
  const cuuint64_t pitch[1] = {static_cast<cuuint64_t>(cols * bytes)};
  const cuuint32_t box_extents[2] = {static_cast<cuuint32_t>(box.cols),
                                     static_cast<cuuint32_t>(box.rows)};
  const cuuint32_t strides[2] = {1, 1};
  return encode(map, type, 2, const_cast<void*>(data), extents, pitch, box_extents, strides,
                CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

struct Maps {
  CUtensorMap x, w, y;
};

bool make_maps(const Gemm& g, const Variant& v, Maps* maps) {
  const int in = bytes_of(g.element), out = bytes_of(g.output), cols = kRowBytes / in;
  return make_map(&maps->x, in, g.x, g.m, g.k, {v.tile_m, cols}) &&
         make_map(&maps->w, in, g.w, g.n, g.k, {v.tile_n / v.cluster, cols}) &&
         make_map(&maps->y, out, g.y, g.m, g.n, {kWarpRows, kChunkCols});
}

cudaError_t launch(const Instance& instance, int blocks, Maps& maps, Extents& extents,
                   const Epilogue& epilogue, cudaStream_t stream) {
  const cudaError_t status = cudaFuncSetAttribute(
      instance.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, instance.shared_bytes);
  if (status != cudaSuccess) return status;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = static_cast<size_t>(instance.shared_bytes);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  void* arguments[] = {&maps.x, &maps.w, &maps.y, &extents, const_cast<Epilogue*>(&epilogue)};
  return cudaLaunchKernelExC(&config, instance.kernel, arguments);
}

}  // namespace

std::string gemm_refusal(const Gemm& g, bool without_addresses) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max() - 256;
  if (g.m < 1 || g.n < 1 || g.k < 1) return "an extent is zero";
  if (g.m > kMost || g.n > kMost || g.k > kMost) return "an extent is 2^31 or more";
  if (g.k * bytes_of(g.element) % 16 != 0) {
    return "rows of " + std::to_string(g.k) + " elements are not multiples of 16 bytes";
  }
  if (g.n * bytes_of(g.output) % 16 != 0) {
    return "rows of " + std::to_string(g.n) + " outputs are not multiples of 16 bytes";
  }
  if (g.element == Element::i8 && g.k >= 1 << 17) return "K is 2^17 or more: int32 may overflow";
  if (without_addresses) return {};
  for (const void* p :
       {g.x, g.w, static_cast<const void*>(g.y), g.epilogue.gate, g.epilogue.residual}) {
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0) return "an address is not a multiple of 16";
  }
  return {};
}

Variant choose_variant(const Gemm& gemm, int processors, bool accurate) {
  const Instance* best = nullptr;
  double least = 0;
  for (const Instance& instance : instances()) {
    if (!can_run(instance, gemm) || instance.variant.accurate != accurate) continue;
    const double time = estimate(gemm, instance.variant, processors);
    if (!best || time < least) best = &instance, least = time;
  }
  return best ? best->variant : Variant{0, 0, 0, false, accurate};
}

cudaError_t run_gemm(const Gemm& gemm, const Variant& v, int processors, cudaStream_t stream) {
  const auto found = std::find_if(instances().begin(), instances().end(), [&](const Instance& i) {
    return can_run(i, gemm) && i.variant == v;
  });
  if (found == instances().end() || !gemm_refusal(gemm).empty()) return cudaErrorInvalidValue;
  Maps maps;
  if (!make_maps(gemm, v, &maps)) return cudaErrorInvalidValue;
  const int64_t rows = ceil_div(ceil_div(gemm.m, v.tile_m), v.cluster);
  const int64_t cols = ceil_div(gemm.n, v.tile_n), clusters = processors / v.cluster;
  if (rows * cols > std::numeric_limits<int32_t>::max()) return cudaErrorInvalidValue;
  Extents extents = {static_cast<int>(gemm.m),
                     static_cast<int>(gemm.n),
                     static_cast<int>(ceil_div(gemm.k * bytes_of(gemm.element), kRowBytes)),
                     {static_cast<int>(rows), static_cast<int>(cols), 16 / v.cluster}};
  const int blocks = static_cast<int>(std::min(rows * cols, clusters)) * v.cluster;
  return launch(*found, blocks, maps, extents, gemm.epilogue, stream);
}

}  // namespace octavo::cuda::sm90
