// norm_modulate. Rows of the usual kind (f16 or bf16 with parameters of that type, of some common
// lengths; to that type, or to e4m3 or i8 under one given f32 scale or one a row) have a kernel of
// their own, whose launch several calls may share. Everything else takes row_norm.cu's.
#include <iterator>
#include <span>
#include <utility>

#include "kernels/cuda/modulate_rows.cuh"
#include "kernels/cuda/row_norm.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

using modulate::Job;
using modulate::Jobs;
using modulate::kMostJobs;
using modulate::kWarps;

enum Input : size_t { kX, kScale, kShift, kOutScale };

Verdict supports_modulate(const Call& call) {
  const Verdict inputs = supports_norm_inputs(call);
  if (!inputs.supported) return inputs;
  if (!call.attrs.has("out_spec")) return supports_plain_norm(call);
  return supports_out_quant(call, kOutScale);
}

// Rows of x that share a row of the operand [B, D] or [1, D].
int64_t rows_per_sample(const Call& call, size_t input, int64_t rows) {
  const Shape& shape = shape_of(call, input);
  const int64_t samples = element_count(Shape(shape.begin(), shape.end() - 1));
  return std::max<int64_t>(1, rows / std::max<int64_t>(1, samples));
}

QuantTarget target_of(const Call& call, const Buffers* buffers) {
  if (!call.attrs.has("out_spec")) return {};
  const QuantSpec spec = QuantSpec::parse(call.attrs.get_string("out_spec"));
  return quant_target(call, buffers, spec, false, kOutScale, nullptr);
}

// Rows that rows_kernel is compiled for: packs of a warp, warps.
struct Width {
  int packs, team;
  constexpr int64_t cols() const { return int64_t{packs} * team * modulate::kPackCols; }
};
constexpr Width kWidths[] = {{1, 1}, {2, 1}, {2, 2}, {3, 2}, {6, 2}};

// What rows_kernel does, as far as the call tells.
bool is_usual(const Call& call) {
  const DType dtype = dtype_of(call, kX);
  for (const size_t input : {kX, kScale, kShift}) {
    if (!has(call, input) || dtype_of(call, input) != dtype) return false;
  }
  if (dtype != DType::bf16 && dtype != DType::f16) return false;
  const RowNorm n = row_norm_of(call);
  if (n.rows == 0 || n.rows > INT32_MAX / 16) return false;
  const auto fits = [&](const Width& width) { return n.cols == width.cols(); };
  if (std::none_of(std::begin(kWidths), std::end(kWidths), fits)) return false;
  if (!call.attrs.has("out_spec")) return true;
  const QuantTarget target = target_of(call, nullptr);
  return (target.format == DType::e4m3 || target.format == DType::i8) &&
         target.scale_format == DType::f32 &&
         (target.mode == QuantMode::given || target.mode == QuantMode::row);
}

// The code that the largest magnitude of a row is mapped to.
float top_of(const Call& call) { return target_of(call, nullptr).top; }

bool can_group(std::span<const Call* const> calls) {
  if (std::ssize(calls) > kMostJobs) return false;
  const Call& first = *calls.front();
  return std::all_of(calls.begin(), calls.end(), [&](const Call* call) {
    return is_usual(*call) && dtype_of(*call, kX) == dtype_of(first, kX) &&
           call->outputs[0].dtype == first.outputs[0].dtype && top_of(*call) == top_of(first) &&
           shape_of(*call, kX).back() == shape_of(first, kX).back() &&
           call->attrs.get_double("eps") == first.attrs.get_double("eps");
  });
}

Job job_of(const Call& call, const Buffers& buffers) {
  const RowNorm n = row_norm_of(call);
  const QuantTarget target = target_of(call, &buffers);
  Job job = {};
  job.x = buffers.inputs[kX];
  job.gain = buffers.inputs[kScale];
  job.offset = buffers.inputs[kShift];
  job.y = buffers.outputs[0];
  job.given = target.given;
  job.scale = target.scale;
  job.rows_end = static_cast<int>(n.rows);
  job.rows_per_gain = static_cast<int>(rows_per_sample(call, kScale, n.rows));
  job.rows_per_offset = static_cast<int>(rows_per_sample(call, kShift, n.rows));
  return job;
}

bool is_aligned(const Job& job) {
  return aligned_to(job.x, 16) && aligned_to(job.gain, 16) && aligned_to(job.offset, 16) &&
         aligned_to(job.y, 16);
}

// body(T, packs, team, format)
template <class Body>
void with_variant(const Call& call, int64_t cols, Body&& body) {
  const auto with_format = [&](auto type, auto packs, auto team) {
    const DType format = call.outputs[0].dtype;
    if (format == DType::e4m3) return body(type, packs, team, Format<DType::e4m3>{});
    if (format == DType::i8) return body(type, packs, team, Format<DType::i8>{});
    body(type, packs, team, Format<DType::f32>{});
  };
  const auto with_type = [&](auto at) {
    constexpr Width kWidth = kWidths[decltype(at)::value];
    if (cols != kWidth.cols()) return;
    constexpr std::integral_constant<int, kWidth.packs> kPacks;
    constexpr std::integral_constant<int, kWidth.team> kTeam;
    if (dtype_of(call, kX) == DType::bf16) {
      return with_format(Type<__nv_bfloat16>{}, kPacks, kTeam);
    }
    with_format(Type<__half>{}, kPacks, kTeam);
  };
  [&]<size_t... kAt>(std::index_sequence<kAt...>) {
    (with_type(std::integral_constant<size_t, kAt>{}), ...);
  }
  (std::make_index_sequence<std::size(kWidths)>{});
}

// All teams have equally many rows one after the other, so far as that goes.
unsigned blocks_of(const Call& call, int rows, int packs, int team) {
  const int blocks = (rows * team + kWarps - 1) / kWarps;
  const int together = device_info(call).processors * modulate::blocks_a_processor(packs);
  const int rounds = (blocks + together - 1) / together;
  return static_cast<unsigned>((blocks + rounds - 1) / rounds);
}

void launch_jobs(const Call& call, Jobs& n, size_t count) {
  const RowNorm norm = row_norm_of(call);
  n.eps = norm.eps;
  n.cols_float = static_cast<float>(norm.cols);
  n.cols_reciprocal = norm.cols_reciprocal;
  n.top = call.attrs.has("out_spec") ? top_of(call) : 1.0f;
  n.not_finite = not_finite_flag(call);
  for (size_t j = 1; j < count; ++j) n.job[j].rows_end += n.job[j - 1].rows_end;
  const int rows = n.job[count - 1].rows_end;
  with_variant(call, norm.cols, [&](auto type, auto packs, auto team, auto format) {
    using T = typename decltype(type)::type;
    launch<Start::overlapped>(call, modulate::rows_kernel<T, packs.value, team.value, format.value>,
                              dim3(blocks_of(call, rows, packs, team)), kWarps * 32, 0, n, rows);
  });
}

void launch_any(const Call& call, const Buffers& buffers) {
  RowNorm n = row_norm_of(call);
  n.gain = any_float(call, buffers, kScale);
  n.offset = any_float(call, buffers, kShift);
  n.unit = 1.0f;
  n.rows_per_gain = rows_per_sample(call, kScale, n.rows);
  n.rows_per_offset = rows_per_sample(call, kShift, n.rows);
  const void* x = buffers.inputs[kX];
  const OutQuant quant = begin_out_quant(call, buffers, kOutScale, buffers.workspace);
  const bool empty = n.rows * n.cols == 0;
  if (quant.target.mode == QuantMode::none || quant.staged) {
    void* y = quant.staged ? quant.staged : buffers.outputs[0];
    if (!empty) {
      launch_rows(call, n, x, {quant.staged ? Output::staged : Output::plain, y, quant.target});
    }
    return finish_out_quant(call, quant);
  }
  if (quant.target.mode == QuantMode::tensor && !empty) {
    launch_rows(call, n, x, {Output::largest, nullptr, quant.target});
  }
  launch_rows(call, n, x, {Output::codes, nullptr, quant.target});
}

void launch_modulate(const Call& call, const KernelState*, const Buffers& buffers) {
  if (!is_usual(call)) return launch_any(call, buffers);
  Jobs jobs = {};
  jobs.job[0] = job_of(call, buffers);
  is_aligned(jobs.job[0]) ? launch_jobs(call, jobs, 1) : launch_any(call, buffers);
}

void launch_group(std::span<const GroupMember> members) {
  Jobs jobs = {};
  bool aligned = true;
  for (size_t j = 0; j < members.size(); ++j) {
    jobs.job[j] = job_of(*members[j].call, members[j].buffers);
    aligned &= is_aligned(jobs.job[j]);
  }
  if (aligned) return launch_jobs(*members[0].call, jobs, members.size());
  for (const GroupMember& member : members) {
    launch_modulate(*member.call, member.state, member.buffers);
  }
}

}  // namespace

const Kernel kNormModulate = {
    .name = "norm_modulate_cuda",
    .op = Op::norm_modulate,
    .supports = supports_modulate,
    .workspace = [](const Call& call, const KernelState*) { return out_quant_workspace(call); },
    .launch = launch_modulate,
    .can_group = can_group,
    .launch_group = launch_group};

}  // namespace octavo::cuda
