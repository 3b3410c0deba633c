#pragma once
// The host side that attention's element types on sm_90a share.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/sm90/attention_kernel.cuh"

namespace octavo::cuda::sm90 {

// Of one launch, where tiles are cut: bounds the workspace.
constexpr int kMostCutSamples = 4;

// What a call needs besides its operands, for tiles of `queries` x `keys` and sums `depth` wide.
struct AttentionPlan {
  AttentionSchedule schedule;
  int64_t query_tiles, slots;
  size_t sums_bytes, bytes;  // of the workspace: sums, then stats

  static AttentionPlan make(const Call& call, const AttentionExtents& e, int queries, int keys,
                            int depth) {
    AttentionPlan plan;
    plan.query_tiles = (e.queries + queries - 1) / queries;
    plan.schedule = AttentionSchedule::make(plan.query_tiles * e.heads, (e.keys + keys - 1) / keys,
                                            device_info(call).processors);
    plan.slots = std::min<int64_t>(e.batch, kMostCutSamples) * plan.schedule.slots();
    const auto rows = static_cast<size_t>(plan.slots * queries);
    plan.sums_bytes = rows * static_cast<size_t>(depth) * sizeof(float);
    plan.bytes = plan.sums_bytes + rows * sizeof(float2);
    return plan;
  }
};

inline AttentionProblem attention_problem(const AttentionExtents& e, const AttentionPlan& plan,
                                          double scale, void* out, void* workspace) {
  auto* memory = static_cast<unsigned char*>(workspace);
  return {.schedule = plan.schedule,
          .queries = static_cast<int>(e.queries),
          .query_tiles = static_cast<int>(plan.query_tiles),
          .heads = static_cast<int>(e.heads),
          .group_heads = static_cast<int>(e.heads / e.key_heads),
          .keys = static_cast<int>(e.keys),
          .depth = static_cast<int>(e.depth),
          .scale_log2 = static_cast<float>(scale / std::log(2.0)),
          .out = out,
          .sums = reinterpret_cast<float*>(memory),
          .stats = reinterpret_cast<float2*>(memory + plan.sums_bytes)};
}

// x[batch, rows, heads, depth] in tiles of a 128-byte column and `box_rows` rows of one head.
inline CUtensorMap attention_tiles(const Call& call, CUtensorMapDataType type, uint64_t bytes,
                                   const void* data, int64_t batch, int64_t rows, int64_t heads,
                                   int64_t depth, int box_rows) {
  const auto d = static_cast<uint64_t>(depth), h = static_cast<uint64_t>(heads);
  const auto r = static_cast<uint64_t>(rows), b = static_cast<uint64_t>(batch);
  return encode_tiles(
      call, {.type = type,
             .data = data,
             .rank = 4,
             .extents = {d, h, r, b},
             .strides = {bytes * d, bytes * d * h, bytes * d * h * r},
             .box = {static_cast<uint32_t>(128 / bytes), 1, static_cast<uint32_t>(box_rows), 1}});
}

// The problem with its three maps, for all samples.
template <class Tiles>
void launch_attention_tiles(const Call& call, AttentionProblem p, int64_t batch) {
  constexpr size_t kShared = sizeof(typename Tiles::Shared);
  check(cudaFuncSetAttribute(attention_kernel<Tiles>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             kShared),
        "attention's shared memory");
  const int samples = static_cast<int>(batch);
  const int step = p.schedule.cut > 0 ? std::min(samples, kMostCutSamples) : samples;
  for (p.first_sample = 0; p.first_sample < samples; p.first_sample += step) {
    p.samples = std::min(step, samples - p.first_sample);
    launch(call, attention_kernel<Tiles>, dim3(static_cast<unsigned>(p.schedule.blocks)),
           Tiles::kThreads, kShared, p);
    if (p.schedule.cut == 0) continue;
    // It may start while the last pieces are summed, and waits for them.
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>(p.schedule.cut * Tiles::kGroups * kMergeParts),
                          static_cast<unsigned>(p.samples));
    config.blockDim = kGroupThreads;
    config.stream = stream_of(call);
    config.attrs = &early;
    config.numAttrs = 1;
    check(cudaLaunchKernelEx(&config, merge_attention_kernel<Tiles>, p), call.name.c_str());
  }
}

}  // namespace octavo::cuda::sm90
