#include "kernels/cpu/fast/out_quant.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/threads.h"
#include "kernels/cpu/fast/codes.h"
#include "kernels/cpu/fast/epilogue.h"
#include "kernels/cpu/fast/scratch.h"
#include "kernels/cpu/ref/quantize_matrix.h"
#include "tensor/quantize.h"

namespace octavo::cpu {
namespace {

// Elements of one piece of parallel work.
constexpr int64_t kChunk = 1 << 14;

void quantize_tensor(const Call& call, const OutQuant& quant, DType type, const std::byte* src,
                     int64_t count, float* scale) {
  const int64_t chunks = (count + kChunk - 1) / kChunk, element = info(type).bits / 8;
  auto* tops = scratch_of<uint32_t>(Scratch::extra, std::max<int64_t>(chunks, 1));
  parallel_for(count, kChunk, [&](int64_t begin, int64_t end) {
    tops[begin / kChunk] = absmax_bits(type, src + begin * element, end - begin);
  });
  uint32_t top = 0;
  for (int64_t i = 0; i < chunks; ++i) top = std::max(top, tops[i]);
  *scale = dynamic_scale(call, quant.spec, top);
}

}  // namespace

Verdict supports_out_quant(const Call& call, const QuantSpec& spec, size_t scale_input) {
  const Verdict outputs = supports_quantized_output(call, spec, scale_input);
  if (!outputs.supported) return outputs;
  if (!is_vector_code(call.outputs[0].dtype)) {
    return Verdict::no(fmt::format("no vector form encodes {}", spec.format));
  }
  if (spec.tile_cols != 0) {
    return Verdict::no(fmt::format("spec {} has scales along a row", spec.text()));
  }
  if (spec.scale == "mx") {
    return Verdict::no(fmt::format("spec {} leaves values beyond the format", spec.text()));
  }
  if (spec.tile_rows > 1) {
    return Verdict::no(fmt::format("spec {} has one scale for several rows", spec.text()));
  }
  return Verdict::yes();
}

OutQuant make_out_quant(const std::optional<QuantSpec>& spec) {
  if (!spec) return {};
  const OutMode mode = spec->timing == QuantSpec::Timing::static_ ? OutMode::static_tensor
                       : spec->tile_rows == 1                     ? OutMode::dynamic_row
                                                                  : OutMode::dynamic_tensor;
  return {mode, *spec, *find_dtype(spec->format)};
}

void fail_not_finite(const Call& call, const QuantSpec& spec) {
  OCTAVO_FAIL(not_finite, "[{}] NaN or infinity among the values to quantize as {}", call.name,
              spec.text());
}

float dynamic_scale(const Call& call, const QuantSpec& spec, uint32_t bits) {
  const float absmax = std::bit_cast<float>(bits);
  if (!std::isfinite(absmax)) fail_not_finite(call, spec);
  return scale_for_absmax(spec, absmax);
}

void quantize_row(const Call& call, const OutQuant& quant, DType type, const void* src,
                  int64_t cols, void* codes, float* scale) {
  *scale = dynamic_scale(call, quant.spec, absmax_bits(type, src, cols));
  encode_scaled(type, src, *scale, quant.format, codes, cols);
}

void quantize_rows(const Call& call, const OutQuant& quant, DType type, const void* src,
                   int64_t rows, int64_t cols, const float* given_scale, void* codes,
                   float* scale) {
  const auto* from = static_cast<const std::byte*>(src);
  auto* to = static_cast<std::byte*>(codes);
  const int64_t element = info(type).bits / 8;
  if (quant.mode == OutMode::dynamic_row) {
    const int64_t grain = std::max<int64_t>(1, kChunk / std::max<int64_t>(1, cols));
    parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        quantize_row(call, quant, type, from + row * cols * element, cols, to + row * cols,
                     scale + row);
      }
    });
    return;
  }
  if (given_scale) {
    *scale = *given_scale;
  } else {
    quantize_tensor(call, quant, type, from, rows * cols, scale);
  }
  parallel_for(rows * cols, kChunk, [&](int64_t begin, int64_t end) {
    if (!encode_scaled(type, from + begin * element, *scale, quant.format, to + begin,
                       end - begin)) {
      fail_not_finite(call, quant.spec);
    }
  });
}

}  // namespace octavo::cpu
