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
          has_all_activations(i.variant.group_cols()));
}
bool can_run(const Instance& i, std::span<const Gemm> group) {
  return !group.empty() && group.size() <= kMostProblems &&
         std::all_of(group.begin(), group.end(), [&](const Gemm& g) { return can_run(i, g); });
}

// Tiles as clusters take them.
struct Grid {
  int64_t rows, cols;
  int64_t tiles() const { return rows * cols; }
};
Grid grid_of(const Gemm& gemm, const Variant& v) {
  return {ceil_div(gemm.m, int64_t{v.tile_m} * v.down),
          ceil_div(gemm.n, int64_t{v.tile_n} * v.across)};
}
int64_t k_blocks_of(const Gemm& gemm) {
  return ceil_div(gemm.k * bytes_of(gemm.element), kRowBytes);
}

// Clocks that a multiprocessor spends on one of gemm's tiles: on products, and on what follows. By
// constants measured on an H200 (bench/cuda_gemm.cu).
struct TileTime {
  double sums, epilogue;
};
TileTime estimate_tile(const Gemm& gemm, const Variant& v) {
  // A stage is four products of tile_n / 2 clocks for each 64 rows, which read their operands from
  // shared memory at 128 bytes a clock while the next stage is written there; a multiprocessor
  // fetches about 48 bytes a clock.
  const double tile_m = v.tile_m, tile_n = v.tile_n, blocks = tile_m / 64;
  const double products = 4 * blocks * tile_n / 2 * (v.accurate ? 1.25 : 1.0);
  const double shared = (blocks * (64 + tile_n) + tile_m + tile_n) * kRowBytes / 128.0;
  const double fetch = (tile_m / v.across + tile_n / v.down) * kRowBytes / 48.0;
  // Warpgroups that share a tile drift apart and hold stages longer.
  const double stage =
      (std::max({products, shared, fetch}) + 40) * (v.share == Share::turns ? 1.0 : 1.25);
  return {static_cast<double>(k_blocks_of(gemm)) * stage, 500 + 6 * tile_n * blocks};
}

// Clocks of a launch.
double estimate(std::span<const Gemm> group, const Variant& v, int processors) {
  const double start = 3000 + (v.down * v.across > 1 ? 1000 : 0);
  const bool in_turns = v.share == Share::turns;
  double most = 0, last = 0, sum = 0;
  int64_t tiles = 0;
  for (const Gemm& gemm : group) {
    const TileTime t = estimate_tile(gemm, v);
    const double each =
        in_turns ? std::max(t.sums, (t.sums + t.epilogue) / 2) : t.sums + t.epilogue;
    const int64_t count = grid_of(gemm, v).tiles();
    sum += each * static_cast<double>(count), tiles += count;
    most = std::max(most, each), last = std::max(last, in_turns ? t.epilogue : 0);
  }
  // Tiles of one depth run in waves.
  const int64_t clusters = processors / (v.down * v.across);
  const double mean = sum / static_cast<double>(tiles);
  const double waves = static_cast<double>(ceil_div(tiles, clusters)) * mean;
  return start + std::max(waves, most) + last;
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

// A row-major matrix of elements of `bytes` bytes, seen in boxes whose rows are one span of the
// swizzle.
struct Matrix {
  int bytes;
  const void* data;
  int64_t rows, cols, pitch;
};

bool make_map(CUtensorMap* map, const Matrix& m, Box box) {
  static const Encode encode = find_encode();
  if (!encode) return false;
  const CUtensorMapDataType type = m.bytes == 4   ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32
                                   : m.bytes == 2 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                                  : CU_TENSOR_MAP_DATA_TYPE_UINT8;
  const int span = box.cols * m.bytes;
  const CUtensorMapSwizzle swizzle = span == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
                                     : span == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                                                  : CU_TENSOR_MAP_SWIZZLE_32B;
  const cuuint64_t extents[2] = {static_cast<cuuint64_t>(m.cols), static_cast<cuuint64_t>(m.rows)};
  const cuuint64_t pitch[1] = {static_cast<cuuint64_t>(m.pitch * m.bytes)};
  const cuuint32_t box_extents[2] = {static_cast<cuuint32_t>(box.cols),
                                     static_cast<cuuint32_t>(box.rows)};
  const cuuint32_t strides[2] = {1, 1};
  return encode(map, type, 2, const_cast<void*>(m.data), extents, pitch, box_extents, strides,
                CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

bool make_problem(const Gemm& g, const Variant& v, Problem* p) {
  const int in = bytes_of(g.element), out = bytes_of(g.output), cols = kRowBytes / in;
  const Box chunk = {kWarpRows, chunk_cols(out, v.group_cols())};
  const Grid grid = grid_of(g, v);
  p->epilogue = g.epilogue;
  p->m = static_cast<int>(g.m), p->n = static_cast<int>(g.n);
  p->k_blocks = static_cast<int>(k_blocks_of(g));
  p->order = {static_cast<int>(grid.rows), static_cast<int>(grid.cols), 16 / v.down};
  const void* residual = g.epilogue.residual;
  return make_map(&p->x, {in, g.x, g.m, g.k, g.k}, {v.tile_m / v.across, cols}) &&
         make_map(&p->w, {in, g.w, g.n, g.k, g.k}, {v.tile_n / v.down, cols}) &&
         make_map(&p->y, {out, g.y, g.m, g.n, g.y_pitch ? g.y_pitch : g.n}, chunk) &&
         (!residual || make_map(&p->residual, {out, residual, g.m, g.n, g.n}, chunk));
}

// Deep ones first: what is left over at the end is shallow.
bool make_group(std::span<const Gemm> gemms, const Variant& v, Group* group) {
  std::vector<const Gemm*> order;
  for (const Gemm& g : gemms) order.push_back(&g);
  std::stable_sort(order.begin(), order.end(), [](const Gemm* a, const Gemm* b) {
    return a->k != b->k ? a->k > b->k : a->m * a->n > b->m * b->n;
  });
  int64_t tiles = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (!gemm_refusal(*order[i]).empty() || !make_problem(*order[i], v, &group->problems[i])) {
      return false;
    }
    tiles += grid_of(*order[i], v).tiles();
    if (tiles > std::numeric_limits<int32_t>::max()) return false;
    group->ends[i] = static_cast<int>(tiles);
  }
  group->count = static_cast<int>(order.size()), group->tiles = static_cast<int>(tiles);
  return true;
}

// Blocks that are on the device at the same time: clusters lie within groups of multiprocessors,
// which need not be multiples of more than two.
cudaError_t most_blocks(const Instance& instance, cudaLaunchConfig_t config, int processors,
                        int* blocks) {
  const int cluster = instance.variant.down * instance.variant.across;
  *blocks = processors / cluster * cluster;
  if (cluster <= 2) return cudaSuccess;
  int clusters = 0;
  config.gridDim = dim3(static_cast<unsigned>(*blocks));
  const cudaError_t status = cudaOccupancyMaxActiveClusters(&clusters, instance.kernel, &config);
  *blocks = std::min(*blocks, clusters * cluster);
  return status;
}

cudaError_t launch(const Instance& instance, Group& group, int processors, cudaStream_t stream) {
  cudaError_t status = cudaFuncSetAttribute(
      instance.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, instance.shared_bytes);
  if (status != cudaSuccess) return status;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = static_cast<size_t>(instance.shared_bytes);
  config.stream = stream;
  int most = 0;
  status = most_blocks(instance, config, processors, &most);
  if (status != cudaSuccess) return status;
  const int cluster = instance.variant.down * instance.variant.across;
  config.gridDim =
      dim3(static_cast<unsigned>(std::min<int64_t>(int64_t{group.tiles} * cluster, most)));
  config.attrs = &attribute;
  config.numAttrs = 1;
  void* arguments[] = {&group};
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
  if (g.y_pitch != 0 && (g.y_pitch < g.n || g.y_pitch * bytes_of(g.output) % 16 != 0)) {
    return "outputs' rows are " + std::to_string(g.y_pitch) + " apart";
  }
  if (g.element == Element::i8 && g.k >= 1 << 17) return "K is 2^17 or more: int32 may overflow";
  if (without_addresses) return {};
  for (const void* p :
       {g.x, g.w, static_cast<const void*>(g.y), g.epilogue.gate, g.epilogue.residual}) {
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0) return "an address is not a multiple of 16";
  }
  return {};
}

Variant choose_variant(std::span<const Gemm> group, int processors, bool accurate) {
  const Instance* best = nullptr;
  double least = 0;
  for (const Instance& instance : instances()) {
    if (!can_run(instance, group) || instance.variant.accurate != accurate) continue;
    const double time = estimate(group, instance.variant, processors);
    if (!best || time < least) best = &instance, least = time;
  }
  return best ? best->variant : kNoVariant;
}

cudaError_t run_gemms(std::span<const Gemm> gemms, const Variant& v, int processors,
                      cudaStream_t stream) {
  const auto found = std::find_if(instances().begin(), instances().end(), [&](const Instance& i) {
    return can_run(i, gemms) && i.variant == v;
  });
  Group group = {};
  if (found == instances().end() || !make_group(gemms, v, &group)) return cudaErrorInvalidValue;
  return launch(*found, group, processors, stream);
}

}  // namespace octavo::cuda::sm90
