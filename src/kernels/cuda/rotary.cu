// rope and qk_norm_rope: rotation of interleaved pairs of x[B, S, H, D], after rms_norm of a head's
// D elements without rounding between the two; to floats, or to codes under one given scale. Heads
// of at most 32 packs of 16 bytes are held by neighbouring lanes, which read a position's angles
// once for several heads, and several calls may share a launch.
#include "kernels/cuda/out_quant.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/row.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

constexpr size_t kMostJobs = 4;

// One call of a launch.
struct Job {
  const void* x;
  void* y;                      // floats
  QuantTarget quant;            // or codes
  AnyFloat w;                   // [depth], of the norm
  const float *cos, *sin;       // [sequence, depth / 2]
  int64_t positions, sequence;  // positions: B S
  unsigned blocks_end;          // blocks of the jobs up to this one
};
struct Jobs {
  int64_t heads, depth;
  bool norm;
  float eps, depth_reciprocal;
  Job job[kMostJobs];

  __device__ float inverse_rms(float squares) const {
    return inverse_root(fmaf(squares, depth_reciprocal, eps));
  }
};

__device__ float sum_lanes(float v, unsigned lanes) {
  for (unsigned step = lanes / 2; step > 0; step /= 2) {
    v += __shfl_xor_sync(0xffffffffu, v, static_cast<int>(step));
  }
  return v;
}
__device__ int64_t sequence_index(const Job& job, int64_t position) {
  return position < job.sequence ? position : position % job.sequence;
}

// Writes neighbouring results from element `at` on.
template <class T>
struct Floats {
  T* y;
  __device__ explicit Floats(const Job& job) : y(static_cast<T*>(job.y)) {}
  template <int N>
  __device__ void write(int64_t at, const float (&v)[N]) {
    store_floats(y + at, v);
  }
};
template <DType D>
struct Codes {
  CodeWriter<D, NearEncoder<D>> writer;
  __device__ explicit Codes(const Job& job) : writer(job.quant, tensor_scale(job.quant)) {}
  template <int N>
  __device__ void write(int64_t at, const float (&v)[N]) {
    writer.write_at(at, v);
  }
};

// What a lane's pairs (even, odd) are multiplied with, the same for all heads of a position: the
// rotation of (even * its weight, odd * its weight).
template <int kVec>
struct LaneFactors {
  float even_even[kVec / 2], odd_even[kVec / 2], odd_odd[kVec / 2], even_odd[kVec / 2];

  __device__ LaneFactors(const Jobs& n, const Job& job, int64_t position, int64_t at) {
    const int64_t pair = sequence_index(job, position) * (n.depth / 2) + at / 2;
    float w[kVec];
    load_floats(job.cos + pair, even_even);
    load_floats(job.sin + pair, odd_even);
    if (n.norm) load_floats(job.w, at, w);
#pragma unroll
    for (int i = 0; i < kVec / 2; ++i) {
      const float c = even_even[i], s = odd_even[i];
      const float even = n.norm ? w[2 * i] : 1.0f, odd = n.norm ? w[2 * i + 1] : 1.0f;
      even_even[i] = even * c, odd_even[i] = odd * s;
      odd_odd[i] = odd * c, even_odd[i] = even * s;
    }
  }
  __device__ void apply(float (&v)[kVec], float factor) const {
#pragma unroll
    for (int i = 0; i < kVec / 2; ++i) {
      const float even = v[2 * i], odd = v[2 * i + 1];
      v[2 * i] = fmaf(even, even_even[i], -(odd * odd_even[i])) * factor;
      v[2 * i + 1] = fmaf(odd, odd_odd[i], even * even_odd[i]) * factor;
    }
  }
};

constexpr int kBlock = 512;  // at most
constexpr int kBatch = 3;    // heads that a lane loads before it uses them

// blockDim = (lanes of a head, a power of two; heads; positions), whole warps.
template <class T, class Out>
__global__ void __launch_bounds__(kBlock, 2) rotary_kernel(const __grid_constant__ Jobs n) {
  constexpr int kVec = 16 / sizeof(T);
  await_earlier_launches();
  int j = 0;
  unsigned first_block = 0;
  while (blockIdx.x >= n.job[j].blocks_end) first_block = n.job[j++].blocks_end;
  const Job& job = n.job[j];
  const bool is_first = threadIdx.x + threadIdx.y + threadIdx.z == 0;
  if (blockIdx.x == first_block && is_first) publish_scale(job.quant);
  const int64_t position = int64_t{blockIdx.x - first_block} * blockDim.z + threadIdx.z;
  const int at = static_cast<int>(threadIdx.x) * kVec;
  const int heads = static_cast<int>(n.heads), depth = static_cast<int>(n.depth);
  // Lanes without work stay: others of the warp shuffle with them.
  const bool active = position < job.positions && at < depth;
  const int64_t begin = position * n.heads * n.depth + at;
  const T* x = static_cast<const T*>(job.x);
  for (int first = 0; first < heads; first += static_cast<int>(blockDim.y) * kBatch) {
    const auto head = [&](int b) {
      return first + b * static_cast<int>(blockDim.y) + static_cast<int>(threadIdx.y);
    };
    uint4 raw[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      raw[b] = {};
      if (active && head(b) < heads) {
        raw[b] = *reinterpret_cast<const uint4*>(x + begin + int64_t{head(b)} * depth);
      }
    }
    const LaneFactors<kVec> factors(n, job, active ? position : 0, active ? at : 0);
    Out out(job);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      float v[kVec], squares = 0;
      widen<T>(raw[b], v);
#pragma unroll
      for (int i = 0; i < kVec; ++i) squares = fmaf(v[i], v[i], squares);
      factors.apply(v, n.norm ? n.inverse_rms(sum_lanes(squares, blockDim.x)) : 1.0f);
      if (active && head(b) < heads) out.write(begin + int64_t{head(b)} * depth, v);
    }
  }
}

constexpr int kPairsBlock = 128;

// Any depth and alignment: a warp a head.
template <class T, class Out>
__global__ void __launch_bounds__(kPairsBlock) rotary_pairs_kernel(const __grid_constant__ Jobs n) {
  const Job& job = n.job[0];
  if (blockIdx.x == 0 && threadIdx.x == 0) publish_scale(job.quant);
  const int64_t row = int64_t{blockIdx.x} * (kPairsBlock / 32) + threadIdx.x / 32;
  if (row >= job.positions * n.heads) return;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const T* from = static_cast<const T*>(job.x) + row * n.depth;
  Out out(job);
  float factor = 1.0f;
  if (n.norm) {
    float squares = 0;
    for (int64_t i = lane; i < n.depth; i += 32) {
      squares = fmaf(to_float(from[i]), to_float(from[i]), squares);
    }
    factor = n.inverse_rms(sum_lanes(squares, 32));
  }
  const int64_t angles = sequence_index(job, row / n.heads) * (n.depth / 2);
  for (int64_t pair = lane; pair < n.depth / 2; pair += 32) {
    float even = to_float(from[2 * pair]), odd = to_float(from[2 * pair + 1]);
    if (n.norm) {
      even = even * factor * job.w[2 * pair];
      odd = odd * factor * job.w[2 * pair + 1];
    }
    const float c = job.cos[angles + pair], s = job.sin[angles + pair];
    const float first[1] = {fmaf(even, c, -(odd * s))}, second[1] = {fmaf(odd, c, even * s)};
    out.write(row * n.depth + 2 * pair, first);
    out.write(row * n.depth + 2 * pair + 1, second);
  }
}

// Host side
// -----------------------------------------------------------------------------------------

// Inputs: rope x, cos, sin; qk_norm_rope x, w, cos, sin, out_scale.
constexpr size_t kNormWeight = 1, kOutScale = 4;
size_t cos_input(const Call& call) { return call.op == Op::rope ? 1 : 2; }

// The largest power of two that is at most n >= 1.
int64_t floor_power(int64_t n) {
  int64_t power = 1;
  while (2 * power <= n) power *= 2;
  return power;
}

// Elements in 16 bytes of x.
int64_t pack_of(const Call& call) { return 128 / info(dtype_of(call, 0)).bits; }

bool has_packs(const Call& call) {
  const int64_t depth = shape_of(call, 0)[3], packs = depth / pack_of(call);
  return depth % pack_of(call) == 0 && packs >= 1 && packs <= 32;
}

// Codes that rotary_kernel writes; others are quantized from f32 in the workspace.
bool writes_codes(const QuantTarget& target) {
  return target.mode == QuantMode::given &&
         (target.format == DType::e4m3 || target.format == DType::i8);
}

QuantTarget target_of(const Call& call, const Buffers* buffers, void* largest) {
  if (!call.attrs.has("out_spec")) return {};
  const QuantSpec spec = QuantSpec::parse(call.attrs.get_string("out_spec"));
  return quant_target(call, buffers, spec, false, kOutScale, largest);
}

Job job_of(const Call& call, const Buffers& buffers) {
  const Shape& shape = shape_of(call, 0);
  const size_t cos = cos_input(call);
  Job job = {};
  job.x = buffers.inputs[0];
  job.quant = target_of(call, &buffers, buffers.workspace);
  if (job.quant.mode == QuantMode::none) job.y = buffers.outputs[0];
  if (call.op == Op::qk_norm_rope) job.w = any_float(call, buffers, kNormWeight);
  job.cos = static_cast<const float*>(buffers.inputs[cos]);
  job.sin = static_cast<const float*>(buffers.inputs[cos + 1]);
  job.positions = shape[0] * shape[1];
  job.sequence = shape[1];
  return job;
}

Jobs jobs_of(const Call& call) {
  const Shape& shape = shape_of(call, 0);
  Jobs n = {};
  n.heads = shape[2], n.depth = shape[3];
  n.norm = call.op == Op::qk_norm_rope;
  if (n.norm) n.eps = static_cast<float>(call.attrs.get_double("eps"));
  n.depth_reciprocal = 1.0f / static_cast<float>(std::max<int64_t>(n.depth, 1));
  return n;
}

bool is_aligned(const Job& job) {
  return aligned_to(job.x, 16) && aligned_to(job.y, 16) && aligned_to(job.w.data, 16) &&
         aligned_to(job.cos, 16) && aligned_to(job.sin, 16) && aligned_to(job.quant.codes, 8);
}

template <class T, class Out>
void launch_packs(const Call& call, Jobs& n, size_t count) {
  constexpr int64_t kVec = 16 / sizeof(T);
  const int64_t packs = n.depth / kVec, most = floor_power(packs);
  const int64_t lanes = most == packs ? packs : 2 * most;
  // Of a position, a thread does kBatch heads where a block may be that large. Short positions
  // share a block, so that it is whole warps.
  int64_t heads = std::min((n.heads + kBatch - 1) / kBatch, kBlock / lanes);
  if (lanes * heads > 16) heads = (lanes * heads + 31) / 32 * 32 / lanes;
  int64_t positions = std::clamp<int64_t>(128 / (lanes * heads), 1, 64);
  while (lanes * heads * positions % 32 != 0) ++positions;
  unsigned blocks = 0;
  for (size_t j = 0; j < count; ++j) {
    blocks += static_cast<unsigned>((n.job[j].positions + positions - 1) / positions);
    n.job[j].blocks_end = blocks;
  }
  const dim3 block(static_cast<unsigned>(lanes), static_cast<unsigned>(heads),
                   static_cast<unsigned>(positions));
  launch<Start::overlapped>(call, rotary_kernel<T, Out>, dim3(blocks), block, 0, n);
}

template <class T, class Out>
void launch_pairs(const Call& call, const Jobs& n) {
  const int64_t rows = n.job[0].positions * n.heads, per_block = kPairsBlock / 32;
  launch(call, rotary_pairs_kernel<T, Out>,
         dim3(static_cast<unsigned>((rows + per_block - 1) / per_block)), kPairsBlock, 0, n);
}

// body(Type<T>{}, Type<Out>{}) of x and the results; `staged`: those are f32.
template <class Body>
void with_types(const Call& call, bool staged, Body&& body) {
  with_compute_type(dtype_of(call, 0), [&]<class T>(Type<T> type) {
    const DType format = call.outputs[0].dtype;
    if (staged) return body(type, Type<Floats<float>>{});
    if (format == DType::e4m3) return body(type, Type<Codes<DType::e4m3>>{});
    if (format == DType::i8) return body(type, Type<Codes<DType::i8>>{});
    body(type, Type<Floats<T>>{});
  });
}

// Aligned jobs of calls like this one, none of them empty.
void launch_jobs(const Call& call, Jobs& n, size_t count, bool staged) {
  with_types(call, staged,
             [&]<class T, class Out>(Type<T>, Type<Out>) { launch_packs<T, Out>(call, n, count); });
}

bool is_staged(const QuantTarget& target) {
  return target.mode != QuantMode::none && !writes_codes(target);
}
bool is_empty(const Call& call) { return element_count(shape_of(call, 0)) == 0; }

void launch_rotary(const Call& call, const KernelState*, const Buffers& buffers) {
  Jobs n = jobs_of(call);
  n.job[0] = job_of(call, buffers);
  Job& job = n.job[0];
  // What no block of this kernel writes, quantize_matrix() does.
  const bool staged = is_staged(job.quant) || (call.attrs.has("out_spec") && is_empty(call));
  if (staged) job.y = static_cast<std::byte*>(buffers.workspace) + kLargestBytes;
  const QuantTarget target = job.quant;
  if (staged) job.quant = {};
  if (!is_empty(call)) {
    if (has_packs(call) && is_aligned(job)) {
      launch_jobs(call, n, 1, staged);
    } else {
      with_types(call, staged,
                 [&]<class T, class Out>(Type<T>, Type<Out>) { launch_pairs<T, Out>(call, n); });
    }
  }
  if (staged) quantize_matrix(call, target, job.y, DType::f32);
}

size_t workspace(const Call& call, const KernelState*) {
  const QuantTarget target = target_of(call, nullptr, nullptr);
  if (target.mode == QuantMode::none) return 0;
  const size_t rows = is_staged(target) ? static_cast<size_t>(target.rows * target.cols) : 0;
  return kLargestBytes + rows * sizeof(float);
}

bool can_group(std::span<const Call* const> calls) {
  if (calls.size() > kMostJobs) return false;
  const Call& first = *calls.front();
  return std::all_of(calls.begin(), calls.end(), [&](const Call* call) {
    const QuantTarget target = target_of(*call, nullptr, nullptr);
    const Shape &shape = shape_of(*call, 0), &like = shape_of(first, 0);
    return has_packs(*call) && !is_empty(*call) && !is_staged(target) && shape[2] == like[2] &&
           shape[3] == like[3] && dtype_of(*call, 0) == dtype_of(first, 0) &&
           call->outputs[0].dtype == first.outputs[0].dtype &&
           (call->op == Op::rope || call->attrs.get_double("eps") == first.attrs.get_double("eps"));
  });
}

void launch_group(std::span<const GroupMember> members) {
  Jobs n = jobs_of(*members[0].call);
  bool aligned = true;
  for (size_t j = 0; j < members.size(); ++j) {
    n.job[j] = job_of(*members[j].call, members[j].buffers);
    aligned &= is_aligned(n.job[j]);
  }
  if (aligned) return launch_jobs(*members[0].call, n, members.size(), false);
  for (const GroupMember& member : members) {
    launch_rotary(*member.call, member.state, member.buffers);
  }
}

Verdict supports_angles(const Call& call) {
  if (!is_compute_type(dtype_of(call, 0))) return Verdict::no("x is not f32, f16 or bf16");
  const size_t cos = cos_input(call);
  if (dtype_of(call, cos) != DType::f32 || dtype_of(call, cos + 1) != DType::f32) {
    return Verdict::no("cos and sin are not f32");
  }
  if (call.attrs.has("out_spec")) return supports_out_quant(call, kOutScale);
  if (call.outputs[0].dtype != dtype_of(call, 0)) {
    return Verdict::no("the output is not of x's type");
  }
  return Verdict::yes();
}

Verdict supports_norm(const Call& call) {
  if (!is_compute_type(dtype_of(call, kNormWeight))) {
    return Verdict::no("w is not f32, f16 or bf16");
  }
  return supports_angles(call);
}

}  // namespace

const Kernel kRope = {.name = "rope_cuda",
                      .op = Op::rope,
                      .supports = supports_angles,
                      .launch = launch_rotary,
                      .in_place = true,
                      .can_group = can_group,
                      .launch_group = launch_group};
const Kernel kQkNormRope = {.name = "qk_norm_rope_cuda",
                            .op = Op::qk_norm_rope,
                            .supports = supports_norm,
                            .workspace = workspace,
                            .launch = launch_rotary,
                            .in_place = true,
                            .can_group = can_group,
                            .launch_group = launch_group};

}  // namespace octavo::cuda
