// gelu, optionally quantized as it is written. Elements lie in rows of the matrix view where a
// scale belongs to a row, else in rows of a convenient length.
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/row.cuh"
#include "kernels/cuda/row_codes.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

constexpr int64_t kPitch = 4096;

enum Input : size_t { kX, kOutScale };
enum class Output : uint8_t { plain, staged, largest, codes };

struct Gelu {
  int64_t n, rows, pitch;  // elements, rows, elements of a row but the last
  bool tanh;
  Output kind;
  void* y;  // plain: of x's type, may be x; staged: f32
  QuantTarget quant;
};

template <class T, int kPacks>
__global__ void __launch_bounds__(kMostRowThreads)
    gelu_kernel(const T* x, const __grid_constant__ Gelu g) {
  using R = Row<T, kPacks>;
  __shared__ RowReduction<1>::Slots slots;
  if (blockIdx.x == 0 && threadIdx.x + threadIdx.y == 0 && g.kind == Output::codes) {
    publish_scale(g.quant);
  }
  const int64_t at = int64_t{blockIdx.x} * blockDim.y + threadIdx.y, begin = at * g.pitch;
  if (at >= g.rows) return;
  RowReduction<1> reduction(slots);
  R row(x + begin, min(g.pitch, g.n - begin));
  const auto finish = [&](int64_t, auto& v) {
#pragma unroll
    for (float& y : v) y = g.tanh ? gelu_tanh(y) : gelu(y);
  };
  if constexpr (R::kHeld) row.each(finish);
  const auto visit = [&](auto&& f) {
    row.each([&](int64_t col, auto& v) {
      if constexpr (!R::kHeld) finish(col, v);
      f(col, v);
    });
  };
  switch (g.kind) {
    case Output::plain:
      return visit(
          [&](int64_t col, auto& v) { store_floats(static_cast<T*>(g.y) + begin + col, v); });
    case Output::staged:
      return visit(
          [&](int64_t col, auto& v) { store_floats(static_cast<float*>(g.y) + begin + col, v); });
    case Output::largest:
      return find_row_largest(g.quant, reduction, visit);
    case Output::codes:
      return write_row_codes<Values::rounded>(g.quant, at, reduction, visit);
  }
}

void launch_kernel(const Call& call, const void* x, Gelu g) {
  g.quant.pitch = g.pitch;
  with_compute_type(dtype_of(call, kX), [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int64_t kVec = 16 / sizeof(T);
    const bool vectors = g.n % kVec == 0 && g.pitch % kVec == 0 && aligned_to(x, 16) &&
                         aligned_to(g.y, 16) && aligned_to(g.quant.codes, 8);
    // Without rows, one block still writes the scale.
    const RowLayout layout = row_layout(std::max<int64_t>(g.rows, 1), g.pitch, sizeof(T), vectors);
    with_packs(layout.packs, [&](auto packs) {
      launch(call, gelu_kernel<T, packs>, layout.grid, layout.block, 0, x, g);
    });
  });
}

Verdict supports(const Call& call) {
  if (!is_compute_type(dtype_of(call, kX))) return Verdict::no("x is not f32, f16 or bf16");
  if (!call.attrs.has("out_spec") && call.outputs[0].dtype != dtype_of(call, kX)) {
    return Verdict::no("the output is not of x's type");
  }
  return supports_out_quant(call, kOutScale);
}

void launch_gelu(const Call& call, const KernelState*, const Buffers& buffers) {
  const OutQuant quant = begin_out_quant(call, buffers, kOutScale, buffers.workspace);
  const void* x = buffers.inputs[kX];
  Gelu g = {.n = element_count(shape_of(call, kX)),
            .rows = 0,
            .pitch = kPitch,
            .tanh = call.attrs.get_string("approximate") == "tanh",
            .kind = Output::plain,
            .y = buffers.outputs[0],
            .quant = quant.target};
  g.rows = (g.n + kPitch - 1) / kPitch;
  if (quant.staged) {
    g.kind = Output::staged;
    g.y = quant.staged;
  }
  if (quant.target.mode == QuantMode::none || quant.staged) {
    if (g.n > 0) launch_kernel(call, x, g);
    return finish_out_quant(call, quant);
  }
  g.y = nullptr;
  if (quant.target.mode == QuantMode::row) {
    g.rows = quant.target.rows;
    g.pitch = quant.target.cols;
  }
  if (quant.target.mode == QuantMode::tensor && g.n > 0) {
    g.kind = Output::largest;
    launch_kernel(call, x, g);
  }
  g.kind = Output::codes;
  launch_kernel(call, x, g);
}

}  // namespace

const Kernel kGelu = {
    .name = "gelu_cuda",
    .op = Op::gelu,
    .supports = supports,
    .workspace = [](const Call& call, const KernelState*) { return out_quant_workspace(call); },
    .launch = launch_gelu,
    .in_place = true};

}  // namespace octavo::cuda
