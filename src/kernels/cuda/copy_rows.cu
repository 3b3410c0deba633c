#include "kernels/cuda/copy_rows.cuh"

#include "kernels/cuda/copy.cuh"

namespace octavo::cuda {
namespace {

// In units.
template <class U>
struct Job {
  const U* from;
  U* to;
  int64_t units, from_pitch, to_pitch;
  Divisor width;
  unsigned blocks_end;  // blocks of the jobs up to this one
};
template <class U>
struct Jobs {
  Job<U> job[kMostRowsCopies];
};

template <class U>
__global__ void copy_rows_kernel(const __grid_constant__ Jobs<U> jobs) {
  await_earlier_launches();
  int j = 0;
  unsigned first = 0;
  while (blockIdx.x >= jobs.job[j].blocks_end) first = jobs.job[j++].blocks_end;
  const Job<U>& job = jobs.job[j];
  const int64_t begin = int64_t{blockIdx.x - first} * (kCopyUnits * kCopyBlock) + threadIdx.x;
  U unit[kCopyUnits];
  U* to[kCopyUnits];
#pragma unroll
  for (int k = 0; k < kCopyUnits; ++k) {
    const int64_t i = begin + k * kCopyBlock;
    if (i >= job.units) continue;
    const int64_t row = job.width.quotient(i), at = i - row * job.width.value;
    unit[k] = job.from[row * job.from_pitch + at];
    to[k] = job.to + row * job.to_pitch + at;
  }
#pragma unroll
  for (int k = 0; k < kCopyUnits; ++k) {
    if (begin + k * kCopyBlock < job.units) *to[k] = unit[k];
  }
}

template <class U>
void launch_units(const Call& call, std::span<const RowsCopy> copies) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(U));
  constexpr int64_t kPerBlock = kCopyUnits * kCopyBlock;
  Jobs<U> jobs = {};
  int64_t blocks = 0;
  size_t count = 0;
  for (const RowsCopy& copy : copies) {
    const int64_t units = copy.rows * copy.width / kBytes;
    if (units == 0) continue;
    blocks += (units + kPerBlock - 1) / kPerBlock;
    if (blocks > std::numeric_limits<int>::max()) fail(call, "too many elements to copy");
    jobs.job[count++] = {.from = static_cast<const U*>(copy.from),
                         .to = static_cast<U*>(copy.to),
                         .units = units,
                         .from_pitch = copy.from_pitch / kBytes,
                         .to_pitch = copy.to_pitch / kBytes,
                         .width = Divisor(copy.width / kBytes),
                         .blocks_end = static_cast<unsigned>(blocks)};
  }
  launch<Start::overlapped>(call, copy_rows_kernel<U>, dim3(static_cast<unsigned>(blocks)),
                            kCopyBlock, 0, jobs);
}

}  // namespace

void copy_rows(const Call& call, std::span<const RowsCopy> copies) {
  if (copies.size() > kMostRowsCopies) fail(call, "too many copies for a launch");
  CommonUnit unit;
  for (const RowsCopy& copy : copies) {
    if (copy.rows * copy.width == 0) continue;
    unit.divides(copy.from).divides(copy.to).divides(copy.width);
    if (copy.rows > 1) unit.divides(copy.from_pitch).divides(copy.to_pitch);
  }
  with_unit(unit.bytes(),
            [&](auto type) { launch_units<typename decltype(type)::type>(call, copies); });
}

}  // namespace octavo::cuda
