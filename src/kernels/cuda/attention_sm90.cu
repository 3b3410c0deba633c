// attention without bias for 16-bit types on Hopper (sm90/attention_kernel.cuh).
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/sm90/attention_launch.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

using namespace sm90;
using In = AttentionOperands;

constexpr int kAlignment = 16;  // of what the copy engine reads
// Pieces of up to so many key tiles are faster when warp groups do not take turns, 666 against 638
// TFLOP/s with 4608 keys on an H200; in long ones they fall into step, 545 against 619 with 32760.
constexpr int kFreeTiles = 64;

template <class T>
using Short = AttentionTiles<T, 64, 128, 3, true>;
template <class T, bool kTurns>
using Long = AttentionTiles<T, 128, 160, 2, kTurns>;

AttentionPlan plan_of(const Call& call, const AttentionExtents& e) {
  if (e.depth <= 64) return AttentionPlan::make(call, e, 192, 128, 64);
  return AttentionPlan::make(call, e, 128, 160, 128);
}

size_t workspace(const Call& call, const KernelState*) {
  return plan_of(call, attention_extents(call)).bytes;
}

Verdict supports(const Call& call) {
  if (device_info(call).arch != 90) {
    return Verdict::no("the device is not of compute capability 9.0");
  }
  const Verdict types = attention_types(call);
  if (!types.supported) return types;
  if (dtype_of(call, In::kQ) == DType::f32) return Verdict::no("q is f32");
  if (has(call, In::kBias)) return Verdict::no("there is a bias");
  const AttentionExtents e = attention_extents(call);
  if (e.depth == 0 || e.depth > 128 || e.depth % 8 != 0) {
    return Verdict::no("heads are not of 8 to 128 channels, a multiple of 8");
  }
  if (e.keys == 0) return Verdict::no("there are no keys");
  if (!(call.attrs.get_double("scale") > 0)) return Verdict::no("scale is not positive");
  constexpr int64_t kMost = 1 << 30;
  if (e.batch > kMost || e.keys > kMost || e.heads * ((e.queries + 127) / 128) > kMost) {
    return Verdict::no("there are more than 2^30 tiles");
  }
  return Verdict::yes();
}

template <class Tiles>
void launch_tiles(const Call& call, const Buffers& buffers, const AttentionExtents& e,
                  AttentionProblem p) {
  const CUtensorMapDataType type = dtype_of(call, In::kQ) == DType::bf16
                                       ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                       : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  const auto map = [&](In::Input input, int64_t rows, int64_t heads, int box_rows) {
    return attention_tiles(call, type, 2, buffers.inputs[input], e.batch, rows, heads, e.depth,
                           box_rows);
  };
  p.q = map(In::kQ, e.queries, e.heads, Tiles::kQueries);
  p.k = map(In::kK, e.keys, e.key_heads, Tiles::kKeys);
  p.v = map(In::kV, e.keys, e.key_heads, Tiles::kKeys);
  launch_attention_tiles<Tiles>(call, p, e.batch);
}

void launch_attention(const Call& call, const KernelState*, const Buffers& buffers) {
  const AttentionExtents e = attention_extents(call);
  if (e.batch * e.queries * e.heads == 0) return;
  const AttentionProblem p = attention_problem(e, plan_of(call, e), call.attrs.get_double("scale"),
                                               buffers.outputs[0], buffers.workspace);
  const auto run = [&]<class T>(Type<T>) {
    if (e.depth <= 64) return launch_tiles<Short<T>>(call, buffers, e, p);
    if (p.schedule.key_tiles > kFreeTiles) {
      return launch_tiles<Long<T, true>>(call, buffers, e, p);
    }
    launch_tiles<Long<T, false>>(call, buffers, e, p);
  };
  if (dtype_of(call, In::kQ) == DType::bf16) return run(Type<__nv_bfloat16>{});
  run(Type<__half>{});
}

}  // namespace

const Kernel kAttentionSm90 = {.name = "attention_sm90",
                               .op = Op::attention,
                               .supports = supports,
                               .workspace = workspace,
                               .launch = launch_attention,
                               .alignment = kAlignment};

}  // namespace octavo::cuda
