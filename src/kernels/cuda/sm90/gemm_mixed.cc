// The host's side: what is refused, which variant is taken, tensor maps and the launch.
#include "kernels/cuda/sm90/gemm_mixed.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/cuda/sm90/mixed_instance.h"
#include "kernels/cuda/sm90/tensor_map.h"

namespace octavo::cuda::sm90 {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t row_bytes(const MixedGemm& g) { return g.code == MixedCode::i4 ? (g.k + 1) / 2 : g.k; }

const std::vector<MixedInstance>& instances() {
  static const std::vector<MixedInstance> all = [] {
    std::vector<MixedInstance> list;
    for (const auto part :
         {gemm_mixed_i8_instances(), gemm_mixed_e4m3_instances(), gemm_mixed_i4_instances()}) {
      list.insert(list.end(), part.begin(), part.end());
    }
    return list;
  }();
  return all;
}

bool can_run(const MixedInstance& i, const MixedGemm& gemm) {
  const Activation a = gemm.epilogue.activation;
  return i.code == gemm.code && (a == Activation::none || a == Activation::gelu_tanh ||
                                 mixed_has_all_activations(i.variant.tile_n, i.variant.tile_m));
}

struct TileCounts {
  int64_t across, down;  // clusters along N, tiles along M
};
TileCounts tiles_of(const MixedGemm& g, const MixedVariant& v) {
  return {ceil_div(ceil_div(g.n, v.tile_n), v.cluster), ceil_div(g.m, v.tile_m)};
}

// Clocks of a multiprocessor, with constants measured on an H200 (bench/cuda_gemm_mixed.cu).
double estimate(const MixedGemm& g, const MixedVariant& v, int processors) {
  const TileCounts tiles = tiles_of(g, v);
  const double area = static_cast<double>(v.tile_n) * v.tile_m;
  const double k_blocks = static_cast<double>(ceil_div(g.k, kStageK));
  // A stage's products; what it fetches takes a multiprocessor's part of L2's bandwidth.
  const double products = area / 32.0 + 40.0;
  const double fetch = (static_cast<double>(v.tile_m) / v.cluster * kRowBytes +
                        static_cast<double>(v.tile_n) * mixed_row_bytes(g.code)) /
                       30.0;
  const double epilogue = 1500.0 + area / 12.0;
  return static_cast<double>(ceil_div(tiles.across * tiles.down, processors / v.cluster)) *
         (k_blocks * std::max(products, fetch) + epilogue);
}

struct Maps {
  CUtensorMap x, w, y, residual;
};

bool make_maps(const MixedGemm& g, const MixedVariant& v, Maps* maps) {
  const int w_cols = mixed_row_bytes(g.code);
  const void* residual = g.epilogue.residual ? g.epilogue.residual : g.y;
  return make_tensor_map(&maps->x, {2, g.x, g.m, g.k, v.tile_m / v.cluster, kStageK}) &&
         make_tensor_map(&maps->w, {1, g.w, g.n, row_bytes(g), v.tile_n, w_cols}) &&
         make_tensor_map(&maps->y, {2, g.y, g.m, g.n, kMixedRows, kMixedCols}) &&
         make_tensor_map(&maps->residual, {2, residual, g.m, g.n, kMixedRows, kMixedCols});
}

cudaError_t launch(const MixedInstance& instance, int64_t blocks, void** arguments,
                   cudaStream_t stream) {
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
  return cudaLaunchKernelExC(&config, instance.kernel, arguments);
}

std::string refusal_of_groups(const MixedGemm& g) {
  const int64_t size = g.groups.size;
  if (g.code != MixedCode::i4) return size == 0 ? "" : "only i4 has groups";
  if (size < 1 || g.k % size != 0) return "groups do not divide K";
  if (size % kStageK != 0 && size != g.k) {
    return "groups of " + std::to_string(size) + " are not multiples of 64";
  }
  return {};
}

}  // namespace

std::string gemm_mixed_refusal(const MixedGemm& g, bool without_addresses) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max() - 512;
  if (g.m < 1 || g.n < 1 || g.k < 1) return "an extent is zero";
  if (g.m > kMost || g.n > kMost || g.k > kMost) return "an extent is 2^31 or more";
  if (g.k % 8 != 0 || row_bytes(g) % 16 != 0) {
    return "rows of " + std::to_string(g.k) + " elements are not multiples of 16 bytes";
  }
  if (g.n % 8 != 0) {
    return "rows of " + std::to_string(g.n) + " outputs are not multiples of 16 bytes";
  }
  const std::string groups = refusal_of_groups(g);
  if (!groups.empty() || without_addresses) return groups;
  for (const void* p : {g.x, g.w, static_cast<const void*>(g.y), g.epilogue.residual}) {
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0) return "an address is not a multiple of 16";
  }
  return {};
}

MixedVariant choose_variant(const MixedGemm& gemm, int processors) {
  const MixedInstance* best = nullptr;
  double least = 0;
  for (const MixedInstance& instance : instances()) {
    if (!can_run(instance, gemm)) continue;
    const double time = estimate(gemm, instance.variant, processors);
    if (!best || time < least) best = &instance, least = time;
  }
  return best ? best->variant : MixedVariant{};
}

cudaError_t run_gemm(const MixedGemm& g, const MixedVariant& v, int processors,
                     cudaStream_t stream) {
  const auto found =
      std::find_if(instances().begin(), instances().end(),
                   [&](const MixedInstance& i) { return can_run(i, g) && i.variant == v; });
  if (found == instances().end() || !gemm_mixed_refusal(g).empty()) return cudaErrorInvalidValue;
  Maps maps;
  if (!make_maps(g, v, &maps)) return cudaErrorInvalidValue;
  const auto [across, down] = tiles_of(g, v);
  const int64_t tiles = across * down, clusters = processors / v.cluster;
  if (tiles > std::numeric_limits<int32_t>::max()) return cudaErrorInvalidValue;
  MixedExtents extents = {static_cast<int>(g.m),
                          static_cast<int>(g.n),
                          static_cast<int>(ceil_div(g.k, kStageK)),
                          {static_cast<int>(across), static_cast<int>(down), 16 / v.cluster}};
  const int64_t size = std::max<int64_t>(1, g.groups.size);
  GroupLayout groups = {g.groups.scale, g.groups.zero_point, g.groups.type,
                        static_cast<int>(ceil_div(size, kStageK)), static_cast<int>(g.k / size)};
  Epilogue epilogue = g.epilogue;
  epilogue.rows_per_sample = std::max(1, epilogue.rows_per_sample);
  void* arguments[] = {&maps.x, &maps.w, &maps.y, &maps.residual, &extents, &groups, &epilogue};
  return launch(*found, std::min(tiles, clusters) * v.cluster, arguments, stream);
}

}  // namespace octavo::cuda::sm90
