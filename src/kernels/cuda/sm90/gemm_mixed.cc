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

bool can_run(const MixedInstance& i, std::span<const MixedGemm> gemms) {
  return std::all_of(gemms.begin(), gemms.end(), [&](const MixedGemm& gemm) {
    const Activation a = gemm.epilogue.activation;
    return i.code == gemm.code && (a == Activation::none || a == Activation::gelu_tanh ||
                                   mixed_has_all_activations(i.variant.tile_m));
  });
}

struct TileCounts {
  int64_t across, down;  // clusters along N, tiles along M
};
TileCounts tiles_of(const MixedGemm& g, const MixedVariant& v) {
  return {ceil_div(ceil_div(g.n, kMixedTileN), v.cluster), ceil_div(g.m, v.tile_m)};
}
// An even number; what lies behind K reads as 0.
int64_t stages_of(const MixedGemm& g) { return 2 * ceil_div(g.k, 2 * kStageK); }

// Clocks of a tile, about: what shared memory, fetching or multiplying takes, whichever is longest.
double clocks_of_tile(const MixedGemm& g, const MixedVariant& v) {
  const double tile_m = v.tile_m;
  // A stage is 8 products of tile_m / 2 clocks; shared memory moves 128 bytes a clock, and a
  // multiprocessor fetches about 48.
  const double codes = kMixedTileN * mixed_row_bytes(g.code), products = 4 * tile_m;
  const double shared = (8 * tile_m * 32 + tile_m * 128 + codes) / 128.0 + 128.0;
  const double fetch = (tile_m / v.cluster * 128 + codes) / 48.0;
  const double stage = std::max({products, shared, fetch}) + 30.0;
  return static_cast<double>(stages_of(g)) * stage + 600.0 + 6.0 * tile_m;
}
// Of the first cluster, which has the most tiles: every clusters-th.
double estimate(std::span<const MixedGemm> gemms, const MixedVariant& v, int processors) {
  const int64_t clusters = processors / v.cluster;
  double clocks = 0;
  int64_t begin = 0;
  for (const MixedGemm& g : gemms) {
    const TileCounts tiles = tiles_of(g, v);
    const int64_t end = begin + tiles.across * tiles.down;
    clocks += static_cast<double>(ceil_div(end, clusters) - ceil_div(begin, clusters)) *
              clocks_of_tile(g, v);
    begin = end;
  }
  return clocks;
}

// The member's tiles begin at `first_tile`.
bool make_member(const MixedGemm& g, const MixedVariant& v, int64_t first_tile, MixedMember* m) {
  const int w_cols = mixed_row_bytes(g.code);
  const int64_t pitch = g.y_pitch ? g.y_pitch : g.n, size = std::max<int64_t>(1, g.groups.size);
  const auto [across, down] = tiles_of(g, v);
  if (first_tile + across * down > std::numeric_limits<int32_t>::max()) return false;
  m->m = static_cast<int>(g.m), m->n = static_cast<int>(g.n);
  m->k_blocks = static_cast<int>(stages_of(g));
  m->tiles_across = static_cast<int>(across), m->tiles_down = static_cast<int>(down);
  m->end_tile = static_cast<int>(first_tile + across * down);
  m->groups = {g.groups.scale, g.groups.zero_point, g.groups.type,
               static_cast<int>(ceil_div(size, kStageK)), static_cast<int>(g.k / size)};
  m->epilogue = g.epilogue;
  m->epilogue.rows_per_sample = std::max(1, g.epilogue.rows_per_sample);
  const void* residual = g.epilogue.residual ? g.epilogue.residual : g.x;
  return make_tensor_map(&m->x, {2, g.x, g.m, g.k, g.k, v.tile_m / v.cluster, kStageK}) &&
         make_tensor_map(&m->w, {1, g.w, g.n, row_bytes(g), row_bytes(g), kMixedTileN, w_cols}) &&
         make_tensor_map(&m->y, {2, g.y, g.m, g.n, pitch, kMixedRows, kMixedCols}) &&
         make_tensor_map(&m->residual, {2, residual, g.m, g.n, g.n, kMixedRows, kMixedCols});
}

cudaError_t launch(const MixedInstance& instance, int64_t blocks, MixedLaunch& launch,
                   cudaStream_t stream) {
  const cudaError_t status = cudaFuncSetAttribute(
      instance.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, instance.shared_bytes);
  if (status != cudaSuccess) return status;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(kMixedThreads);
  config.dynamicSmemBytes = static_cast<size_t>(instance.shared_bytes);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  void* arguments[] = {&launch};
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
  if (g.n % 8 != 0 || g.y_pitch % 8 != 0) {
    return "rows of " + std::to_string(g.n) + " outputs are not multiples of 16 bytes";
  }
  const std::string groups = refusal_of_groups(g);
  if (!groups.empty() || without_addresses) return groups;
  for (const void* p : {g.x, g.w, static_cast<const void*>(g.y), g.epilogue.residual}) {
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0) return "an address is not a multiple of 16";
  }
  return {};
}

MixedVariant choose_variant(std::span<const MixedGemm> gemms, int processors) {
  const MixedInstance* best = nullptr;
  double least = 0;
  for (const MixedInstance& instance : instances()) {
    if (!can_run(instance, gemms)) continue;
    const double time = estimate(gemms, instance.variant, processors);
    if (!best || time < least) best = &instance, least = time;
  }
  return best ? best->variant : MixedVariant{};
}

cudaError_t run_gemms(std::span<const MixedGemm> gemms, const MixedVariant& v, int processors,
                      cudaStream_t stream) {
  const auto found =
      std::find_if(instances().begin(), instances().end(),
                   [&](const MixedInstance& i) { return i.variant == v && can_run(i, gemms); });
  if (found == instances().end() || gemms.empty() || gemms.size() > kMixedMembers) {
    return cudaErrorInvalidValue;
  }
  // Long sums first: what runs last should be short.
  std::vector<const MixedGemm*> order;
  for (const MixedGemm& g : gemms) order.push_back(&g);
  std::stable_sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->k > b->k; });
  MixedLaunch what = {};
  for (size_t i = 0; i < order.size(); ++i) {
    if (!gemm_mixed_refusal(*order[i]).empty() ||
        !make_member(*order[i], v, what.tiles, &what.members[i])) {
      return cudaErrorInvalidValue;
    }
    what.tiles = what.members[i].end_tile;
  }
  what.group = 16 / v.cluster;
  const int blocks = std::min(what.tiles, processors / v.cluster) * v.cluster;
  return launch(*found, blocks, what, stream);
}

}  // namespace octavo::cuda::sm90
