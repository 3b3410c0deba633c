#include "kernels/cpu/ref/quantize_matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "tensor/codec.h"

namespace octavo::cpu {
namespace {

struct Tiles {
  int64_t rows, cols, tile_rows, tile_cols, across, down;
};

Tiles tiles_of(const QuantSpec& spec, int64_t rows, int64_t cols) {
  const auto grid = spec.scale_shape(rows, cols);
  return {rows,
          cols,
          spec.tile_rows ? spec.tile_rows : std::max<int64_t>(rows, 1),
          spec.tile_cols ? spec.tile_cols : std::max<int64_t>(cols, 1),
          grid[1],
          grid[0]};
}

float absmax_of_tile(const Tiles& t, const float* src, int64_t tile) {
  const int64_t top = tile / t.across * t.tile_rows, left = tile % t.across * t.tile_cols;
  uint32_t bits = 0;  // of |x|, which order as the values do, NaN on top
  for (int64_t r = top; r < std::min(top + t.tile_rows, t.rows); ++r) {
    for (int64_t c = left; c < std::min(left + t.tile_cols, t.cols); ++c) {
      bits = std::max(bits, std::bit_cast<uint32_t>(src[r * t.cols + c]) & 0x7fffffffu);
    }
  }
  return std::bit_cast<float>(bits);
}

// Every tile's absmax in `scale` -> its scale.
void scales_of_tiles(const QuantSpec& spec, int64_t count, float* scale) {
  const float top = count == 0 ? 0 : *std::max_element(scale, scale + count);
  const float whole = spec.has_tensor_scale() ? tensor_scale_for_absmax(spec, top) : 1;
  for (int64_t t = 0; t < count; ++t) {
    scale[t] = spec.has_tensor_scale() ? tile_scale_for_absmax(spec, scale[t], whole) * whole
                                       : scale_for_absmax(spec, scale[t]);
  }
}

// `run` elements from `at` share a packed row; blocks are whole bytes.
void encode_run(const Tiles& t, DType format, const float* src, const float* scale, float limit,
                int64_t at, int64_t run, std::byte* dst) {
  constexpr int64_t kBlock = 1024;
  float scaled[kBlock];
  for (int64_t begin = 0; begin < run; begin += kBlock) {
    const int64_t count = std::min(kBlock, run - begin);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at_i = at + begin + i;
      const int64_t tile = at_i / t.cols / t.tile_rows * t.across + at_i % t.cols / t.tile_cols;
      scaled[i] = src[at_i] / scale[tile];
      if (std::fabs(scaled[i]) > limit) scaled[i] = std::copysign(limit, scaled[i]);
    }
    encode_row(format, scaled, dst + row_bytes(format, begin), count);
  }
}

}  // namespace

Verdict supports_quantized_output(const Call& call, const QuantSpec& spec, size_t scale_input) {
  if (spec.zero_point) return Verdict::no("activations have no zero point here");
  const bool is_static = spec.timing == QuantSpec::Timing::static_;
  if (is_static != has(call, scale_input)) {
    return Verdict::no(is_static ? "a static spec needs its scale as input"
                                 : "a dynamic spec takes no scale input");
  }
  if (call.outputs.size() != 2 || call.outputs[0].dtype != *find_dtype(spec.format) ||
      call.outputs[1].dtype != DType::f32) {
    return Verdict::no(
        fmt::format("the outputs are not codes of {} and an f32 scale", spec.text()));
  }
  if (is_static && (call.inputs[scale_input]->dtype != DType::f32 ||
                    shape_of(call, scale_input) != call.outputs[1].shape)) {
    return Verdict::no(
        fmt::format("the given scale is {}{}, not f32{}", name(call.inputs[scale_input]->dtype),
                    to_string(shape_of(call, scale_input)), to_string(call.outputs[1].shape)));
  }
  return Verdict::yes();
}

void quantize_matrix(const Call& call, const QuantSpec& spec, MatrixView view, const float* src,
                     const void* given_scale, const Buffers& buffers) {
  const Operand& codes = call.outputs[0];
  const auto [rows, cols] = matrix_extents(codes.shape, view);
  const Tiles tiles = tiles_of(spec, rows, cols);
  const int64_t tile_count = tiles.down * tiles.across;
  auto* scale = static_cast<float*>(buffers.outputs[1]);
  if (given_scale) {
    std::memcpy(scale, given_scale, static_cast<size_t>(tile_count) * sizeof(float));
  } else {
    for_rows(tile_count, tiles.tile_rows * tiles.tile_cols, [&](int64_t tile) {
      const float absmax = absmax_of_tile(tiles, src, tile);
      OCTAVO_CHECK_CODE(not_finite, std::isfinite(absmax),
                        "[{}] NaN or infinity among the values to quantize as {}", call.name,
                        spec.text());
      scale[tile] = absmax;
    });
    scales_of_tiles(spec, tile_count, scale);
  }
  const int64_t run = last_dim(codes.shape), run_bytes = row_bytes(codes.dtype, run);
  auto* out = static_cast<std::byte*>(buffers.outputs[0]);
  // Scales by OCP's rule leave up to a bit's worth of values beyond the format, e5m2's infinity
  // too.
  const float limit = spec.scale == "mx" ? top_code(spec) : INFINITY;
  for_rows(run == 0 ? 0 : element_count(codes.shape) / run, run * 8, [&](int64_t row) {
    encode_run(tiles, codes.dtype, src, scale, limit, row * run, run, out + row * run_bytes);
  });
}

}  // namespace octavo::cpu
