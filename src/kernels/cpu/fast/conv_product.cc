#include "kernels/cpu/fast/conv_product.h"

#include <algorithm>

#include "base/threads.h"
#include "kernels/cpu/fast/conv_finish.h"
#include "kernels/cpu/fast/convert_rows.h"
#include "kernels/cpu/fast/matmul.h"
#include "kernels/cpu/fast/scratch.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

constexpr int64_t kFilterBlock = 128, kMinPixels = 64, kMaxPixels = 256;
// An im2col tile should stay in the second-level cache.
constexpr int64_t kTileBytes = 1 << 18;
// Fewer tiles than this leave threads idle.
constexpr int64_t kEnoughTiles = 32;
// 2^24 / (128 * 128): so many products of two codes add up exactly in f32.
constexpr int64_t kExactPiece = 1024;

int64_t pixels_of_tile(const ConvExtents& e, int64_t element) {
  int64_t pixels = std::clamp(kTileBytes / (e.depth() * element), kMinPixels, kMaxPixels);
  pixels = pixels / kMinPixels * kMinPixels;
  const int64_t fair = e.batch * e.pixels() / kEnoughTiles / kMinPixels * kMinPixels;
  return std::clamp(fair, kMinPixels, pixels);
}

// All of x as f32.
const float* widened(const Call& call, const Buffers& buffers) {
  auto* to = static_cast<float*>(buffers.workspace);
  const DType type = call.inputs[0]->dtype;
  const auto* from = static_cast<const std::byte*>(buffers.inputs[0]);
  parallel_for(element_count(shape_of(call, 0)), rows_of_chunk(1), [&](int64_t begin, int64_t end) {
    widen(type, from + begin * (info(type).bits / 8), to + begin, end - begin);
  });
  return to;
}

DType product_operand(GemmKind kind) { return kind == GemmKind::i8 ? DType::i8 : DType::f32; }

// Does a tile read the picture's channels in place? 8-bit products want dense rows.
bool reads_in_place(const ConvExtents& e, GemmKind kind) {
  return e.is_pointwise() && kind != GemmKind::i8;
}

int64_t piece_of(GemmKind kind, int64_t depth) {
  return kind == GemmKind::i8_f32 ? std::min(kExactPiece, depth) : depth;
}

// acc[filters][count] = w[filters][k] taps[k][count]; rows of w are `depth` apart, of taps `ld`.
const Matmul& conv_matmul(GemmKind kind, int64_t filters, int64_t count, int64_t k, int64_t depth,
                          int64_t ld) {
  const DType type = product_operand(kind);
  return Matmul::get({.a = type,
                      .b = type,
                      .c = kind == GemmKind::i8 ? DType::i32 : DType::f32,
                      .m = filters,
                      .n = count,
                      .k = k,
                      .lda = depth,
                      .ldc = count,
                      .ldb_k = ld,
                      .ldb_n = 1});
}

// Makes the products that tiles will use.
void warm(const ConvExtents& e, GemmKind kind) {
  const int64_t pixels = pixels_of_tile(e, info(product_operand(kind)).bits / 8);
  const int64_t piece = piece_of(kind, e.depth());
  const auto last = [](int64_t extent, int64_t block) { return (extent - 1) % block + 1; };
  if (e.batch * e.pixels() * e.filters == 0) return;
  for (int64_t filters : {std::min(kFilterBlock, e.filters), last(e.filters, kFilterBlock)}) {
    for (int64_t count : {std::min(pixels, e.pixels()), last(e.pixels(), pixels)}) {
      const int64_t ld = reads_in_place(e, kind) ? e.pixels() : count;
      for (int64_t k : {piece, last(e.depth(), piece)}) {
        conv_matmul(kind, filters, count, k, e.depth(), ld);
      }
    }
  }
}

struct Conv {
  const Call& call;
  const Buffers& buffers;
  const ConvState& state;
  const ConvExtents& e;
  const void* x;  // in the product's type
  const float* x_scale;
  int64_t x_scale_stride;

  DType type() const { return product_operand(state.kind); }
  int64_t element() const { return info(type()).bits / 8; }

  void tile(int64_t b, int64_t pixel, int64_t count) const;
  void* product(int64_t filter, int64_t filters, const void* taps, int64_t ld, int64_t count) const;
  void finish(int64_t b, int64_t filter, int64_t pixel, int64_t count, const void* acc) const;
};

void Conv::tile(int64_t b, int64_t pixel, int64_t count) const {
  const auto* sample =
      static_cast<const std::byte*>(x) + b * e.channels * e.height * e.width * element();
  const void* taps = sample + pixel * element();
  int64_t ld = e.pixels();
  if (!reads_in_place(e, state.kind)) {
    void* matrix = scratch(Scratch::operand, static_cast<size_t>(e.depth() * count * element()));
    im2col(e, element(), sample, pixel, count, matrix);
    taps = matrix;
    ld = count;
  }
  for (int64_t filter = 0; filter < e.filters; filter += kFilterBlock) {
    const int64_t filters = std::min(kFilterBlock, e.filters - filter);
    const auto* acc = static_cast<const std::byte*>(product(filter, filters, taps, ld, count));
    for (int64_t f = 0; f < filters; ++f) {
      finish(b, filter + f, pixel, count, acc + f * count * 4);
    }
  }
}

// acc[filters][count], f32 or i32.
void* Conv::product(int64_t filter, int64_t filters, const void* taps, int64_t ld,
                    int64_t count) const {
  const int64_t depth = e.depth();
  const bool exact = state.kind == GemmKind::i8_f32;
  const int64_t piece = piece_of(state.kind, depth);
  auto* acc = scratch_of<int32_t>(Scratch::tile, filters * count);
  void* sums = exact ? scratch_of<float>(Scratch::extra, filters * count) : static_cast<void*>(acc);
  for (int64_t k = 0; k < depth; k += piece) {
    conv_matmul(state.kind, filters, count, std::min(piece, depth - k), depth, ld)
        .run(state.w.as<std::byte>() + (filter * depth + k) * element(),
             static_cast<const std::byte*>(taps) + k * ld * element(), sums);
    if (exact) f32_to_i32(static_cast<float*>(sums), acc, filters * count, k > 0);
  }
  return acc;
}

void Conv::finish(int64_t b, int64_t filter, int64_t pixel, int64_t count, const void* acc) const {
  const DType out = call.outputs[0].dtype;
  const int64_t at = ((b * e.filters + filter) * e.pixels() + pixel) * (info(out).bits / 8);
  ConvRow row{.acc_type = accumulator(state.kind), .acc = acc, .n = count, .type = out};
  if (x_scale) {
    row.scaled = true;
    row.scale = x_scale[b * x_scale_stride];
  }
  if (state.w_scale.has_data()) {
    row.scale = row.scaled ? row.scale * state.w_scale.as<float>()[filter]
                           : state.w_scale.as<float>()[filter];
    row.scaled = true;
  }
  if (state.bias.has_data()) {
    row.biased = true;
    row.bias = state.bias.as<float>()[filter];
  }
  const void* residual = data_of(call, buffers, state.residual_input);
  if (residual) row.residual = static_cast<const std::byte*>(residual) + at;
  row.y = static_cast<std::byte*>(buffers.outputs[0]) + at;
  finish_conv_row(row);
}

bool needs_widening(const Call& call, const ConvState& state) {
  return state.kind != GemmKind::i8 && call.inputs[0]->dtype != DType::f32;
}

}  // namespace

ConvExtents conv_extents(const Call& call, size_t x, size_t w) {
  const Shape &xs = shape_of(call, x), &ws = shape_of(call, w), &ys = call.outputs[0].shape;
  const std::vector<int64_t>& pads = call.attrs.get_ints("pads");
  return {.batch = xs[0],
          .channels = xs[1],
          .height = xs[2],
          .width = xs[3],
          .filters = ws[0],
          .kernel_h = ws[2],
          .kernel_w = ws[3],
          .stride = call.attrs.get_int("stride"),
          .top = pads[0],
          .left = pads[1],
          .out_height = ys[2],
          .out_width = ys[3]};
}

size_t conv_workspace(const Call& call, const KernelState* state) {
  const auto& conv = static_cast<const ConvState&>(*state);
  warm(conv_extents(call, conv.x_input, conv.w_input), conv.kind);
  if (!needs_widening(call, conv)) return 0;
  return static_cast<size_t>(element_count(shape_of(call, conv.x_input))) * sizeof(float);
}

void run_conv(const Call& call, const Buffers& buffers, const ConvState& state,
              const float* x_scale, int64_t x_scale_stride) {
  const ConvExtents e = conv_extents(call, state.x_input, state.w_input);
  const void* x = needs_widening(call, state) ? widened(call, buffers) : buffers.inputs[0];
  const Conv conv{call, buffers, state, e, x, x_scale, x_scale_stride};
  const int64_t pixels = pixels_of_tile(e, conv.element());
  const int64_t tiles = (e.pixels() + pixels - 1) / pixels;
  parallel_for(e.batch * tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t pixel = i % tiles * pixels;
      conv.tile(i / tiles, pixel, std::min(pixels, e.pixels() - pixel));
    }
  });
}

}  // namespace octavo::cpu
