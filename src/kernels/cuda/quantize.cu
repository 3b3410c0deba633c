// quantize, and the second half of every result that is quantized after it was written: codes of
// one byte under one scale, or one a row. quantize_tiles.cu has all others.
#include <span>
#include <vector>

#include "kernels/cuda/index.cuh"
#include "kernels/cuda/out_quant.cuh"
#include "kernels/cuda/row.cuh"
#include "kernels/cuda/row_codes.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int kBatch = 2;  // packs that a thread loads before it uses them

template <class T>
constexpr int kVecOf = 16 / sizeof(T);

// Packs [batch, batch + kBatch x kBlock) of src, this thread's of them, zeros behind the end.
template <class T, int kVec>
__device__ void load_batch(const T* src, int64_t batch, int64_t packs, float (&v)[kBatch][kVec]) {
  using Raw = std::conditional_t<kVec == 1, T, uint4>;
  Raw raw[kBatch];
#pragma unroll
  for (int p = 0; p < kBatch; ++p) {
    const int64_t at = batch + p * kBlock + threadIdx.x;
    raw[p] = Raw{};
    if (at < packs) raw[p] = reinterpret_cast<const Raw*>(src)[at];
  }
#pragma unroll
  for (int p = 0; p < kBatch; ++p) {
    if constexpr (kVec == 1) {
      v[p][0] = to_float(raw[p]);
    } else {
      widen<T>(raw[p], v[p]);
    }
  }
}

template <class T, int kVec>
__global__ void __launch_bounds__(kBlock)
    largest_kernel(const T* src, int64_t packs, const __grid_constant__ QuantTarget target) {
  await_earlier_launches();
  __shared__ RowReduction<1>::Slots slots;
  float largest = 0;
  const int64_t stride = int64_t{gridDim.x} * kBlock * kBatch;
  for (int64_t at = int64_t{blockIdx.x} * kBlock * kBatch; at < packs; at += stride) {
    float v[kBatch][kVec];
    load_batch<T, kVec>(src, at, packs, v);
#pragma unroll
    for (int p = 0; p < kBatch; ++p) {
#pragma unroll
      for (int i = 0; i < kVec; ++i) largest = Largest::of(largest, magnitude(v[p][i]));
    }
  }
  RowReduction<1> reduction(slots);
  largest = reduction.reduce<Largest>(largest);
  if (threadIdx.x == 0) find_largest(target, largest);
}

constexpr size_t kMostJobs = 4;

// One call of a launch: a matrix in a byte format.
struct Job {
  const void* src;
  int64_t packs;
  Divisor row_packs;
  int64_t gap;          // codes between rows
  unsigned blocks_end;  // blocks of the jobs up to this one
  QuantTarget target;
};
struct Jobs {
  Job job[kMostJobs];
};
struct Place {
  const Job& job;
  int64_t block, blocks;  // of the job
};
__device__ Place find_place(const Jobs& jobs) {
  int j = 0;
  unsigned first = 0;
  while (blockIdx.x >= jobs.job[j].blocks_end) first = jobs.job[j++].blocks_end;
  return {jobs.job[j], blockIdx.x - first, jobs.job[j].blocks_end - first};
}

template <class T, int kVec>
__global__ void __launch_bounds__(kBlock) one_scale_kernel(const __grid_constant__ Jobs jobs) {
  await_earlier_launches();
  const Place place = find_place(jobs);
  const Job& job = place.job;
  const int64_t block = place.block, blocks = place.blocks;
  const float scale = tensor_scale(job.target);
  if (block == 0 && threadIdx.x == 0) publish_scale(job.target);
  with_byte_format(job.target.format, [&](auto format) {
    CodeWriter<decltype(format)::value> writer(job.target, scale);
    for (int64_t batch = block * kBlock * kBatch; batch < job.packs;
         batch += blocks * kBlock * kBatch) {
      float v[kBatch][kVec];
      load_batch<T, kVec>(static_cast<const T*>(job.src), batch, job.packs, v);
#pragma unroll
      for (int p = 0; p < kBatch; ++p) {
        const int64_t at = batch + p * kBlock + threadIdx.x;
        const int64_t gaps = job.gap ? job.row_packs.quotient(at) * job.gap : 0;
        if (at < job.packs) writer.write_at(at * kVec + gaps, v[p]);
      }
    }
  });
}

// One dynamic scale a row, byte formats.
template <class T, int kPacks>
__global__ void __launch_bounds__(kMostRowThreads)
    row_scale_kernel(const T* src, const __grid_constant__ QuantTarget target) {
  await_earlier_launches();
  __shared__ RowReduction<1>::Slots slots;
  const int64_t row = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (row >= target.rows) return;
  FilledRow<T, kPacks> values(src + row * target.cols, target.cols);
  RowReduction<1> reduction(slots);
  write_row_codes<Values::exact>(target, row, reduction, [&](auto&& f) { values.each(f); });
}

// Host side
// -----------------------------------------------------------------------------------------

template <class T>
void launch_largest(const Call& call, const QuantTarget& target, const T* src) {
  const int64_t n = target.rows * target.cols;
  check(cudaMemsetAsync(target.largest, 0, sizeof(*target.largest), stream_of(call)),
        call.name.c_str());
  const int64_t most = int64_t{device_info(call).processors} * 8;
  if (n % kVecOf<T> == 0 && aligned_to(src, 16)) {
    const int64_t packs = n / kVecOf<T>;
    launch<Start::overlapped>(call, largest_kernel<T, kVecOf<T>>,
                              blocks_for(packs, kBlock * kBatch, most), kBlock, 0, src, packs,
                              target);
  } else {
    launch<Start::overlapped>(call, largest_kernel<T, 1>, blocks_for(n, kBlock * kBatch, most),
                              kBlock, 0, src, n, target);
  }
}

struct Matrix {
  const void* src;
  QuantTarget target;
};

// Do 16 bytes of src, and the codes of as many elements, always follow each other in memory?
template <class T>
bool are_vectors(const QuantTarget& target, const void* src) {
  return target.cols % kVecOf<T> == 0 && target.pitch % kVecOf<T> == 0 && aligned_to(src, 16) &&
         aligned_to(target.codes, kVecOf<T>);
}
// Without gaps between them, rows are one.
QuantTarget joined(QuantTarget target) {
  if (target.pitch != target.cols) return target;
  target.cols = target.pitch = target.rows * target.cols;
  target.rows = 1;
  return target;
}

template <class T, int kVec>
void launch_packs(const Call& call, std::span<const Matrix> matrices) {
  Jobs jobs = {};
  unsigned blocks = 0;
  for (size_t j = 0; j < matrices.size(); ++j) {
    const QuantTarget t = joined(matrices[j].target);
    const int64_t packs = t.rows * t.cols / kVec;
    // At least one block: somebody writes the scale.
    blocks += blocks_for(std::max<int64_t>(packs, 1), kBlock * kBatch).x;
    const Divisor row_packs(std::max<int64_t>(t.cols / kVec, 1));
    jobs.job[j] = {matrices[j].src, packs, row_packs, t.pitch - t.cols, blocks, t};
  }
  launch<Start::overlapped>(call, one_scale_kernel<T, kVec>, blocks, kBlock, 0, jobs);
}

void launch_one_scale(const Call& call, DType src_type, std::span<const Matrix> matrices) {
  with_compute_type(src_type, [&](auto type) {
    using T = typename decltype(type)::type;
    const bool vectors = std::all_of(matrices.begin(), matrices.end(), [](const Matrix& m) {
      return are_vectors<T>(joined(m.target), m.src);
    });
    vectors ? launch_packs<T, kVecOf<T>>(call, matrices) : launch_packs<T, 1>(call, matrices);
  });
}

void launch_row_scale(const Call& call, DType src_type, const Matrix& matrix) {
  with_compute_type(src_type, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto* src = static_cast<const T*>(matrix.src);
    const QuantTarget& target = matrix.target;
    const RowLayout layout =
        filled_row_layout(target.rows, target.cols, sizeof(T), are_vectors<T>(target, src));
    with_packs(layout.packs, [&](auto packs) {
      launch<Start::overlapped>(call, row_scale_kernel<T, packs>, layout.grid, layout.block, 0, src,
                                target);
    });
  });
}

// The operation
// -------------------------------------------------------------------------------------

enum Input : size_t { kX, kScale };

QuantSpec spec_of(const Call& call) { return QuantSpec::parse(call.attrs.get_string("spec")); }

bool is_rows_first(const Call& call) {
  return call.attrs.get_string_or("rows", "leading") == "first";
}

QuantTarget target_of(const Call& call, const Buffers* buffers) {
  return quant_target(call, buffers, spec_of(call), is_rows_first(call), kScale,
                      buffers ? buffers->workspace : nullptr);
}

Verdict supports(const Call& call) {
  if (!is_compute_type(dtype_of(call, kX))) return Verdict::no("x is not f32, f16 or bf16");
  const Verdict verdict = supports_quant(call, spec_of(call), kScale);
  if (!verdict.supported || call.outputs[0].row_pitch == 0) return verdict;
  if (is_rows_first(call) || !target_of(call, nullptr).is_fused()) {
    return Verdict::no("writes rows apart only where they have a scale each, or one for all");
  }
  return Verdict::yes();
}

void launch_quantize(const Call& call, const KernelState*, const Buffers& buffers) {
  quantize_matrix(call, target_of(call, &buffers), buffers.inputs[kX], dtype_of(call, kX));
}

bool can_group(std::span<const Call* const> calls) {
  return calls.size() <= kMostJobs &&
         std::all_of(calls.begin(), calls.end(), [&](const Call* call) {
           const QuantTarget target = target_of(*call, nullptr);
           return target.is_fused() && target.mode == QuantMode::given &&
                  dtype_of(*call, kX) == dtype_of(*calls[0], kX);
         });
}

void launch_group(std::span<const GroupMember> members) {
  std::vector<Matrix> matrices;
  for (const GroupMember& m : members) {
    matrices.push_back({m.buffers.inputs[kX], target_of(*m.call, &m.buffers)});
  }
  const Call& first = *members[0].call;
  launch_one_scale(first, dtype_of(first, kX), matrices);
}

}  // namespace

void quantize_matrix(const Call& call, const QuantTarget& target, const void* src, DType src_type) {
  if (target.mode == QuantMode::tensor) {
    with_compute_type(src_type, [&](auto type) {
      launch_largest(call, target, static_cast<const typename decltype(type)::type*>(src));
    });
  }
  if (!target.is_fused()) return quantize_tiles(call, target, src, src_type);
  const Matrix matrix = {src, target};
  if (target.mode == QuantMode::row) return launch_row_scale(call, src_type, matrix);
  launch_one_scale(call, src_type, {&matrix, 1});
}

const Kernel kQuantize = {
    .name = "quantize_cuda",
    .op = Op::quantize,
    .supports = supports,
    .workspace = [](const Call&, const KernelState*) { return kLargestBytes; },
    .launch = launch_quantize,
    .pitched_output = true,
    .can_group = can_group,
    .launch_group = launch_group};

}  // namespace octavo::cuda
