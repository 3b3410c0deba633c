// quantized_attention: codes become f32 values in the workspace, then as attention of f32.
#include <fmt/format.h>

#include "base/threads.h"
#include "kernels/cpu/fast/attention_blocks.h"
#include "kernels/cpu/fast/convert_rows.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/support.h"
#include "kernels/cpu/ref/scale_grid.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kQ = 0, kK = 2, kV = 4, kBias = 6, kOutScale };  // scales follow codes

struct CodesOf {
  size_t input;
  const char* spec;
};
constexpr CodesOf kCodes[] = {{kQ, "q_spec"}, {kK, "k_spec"}, {kV, "v_spec"}};

QuantSpec spec_of(const Call& call, const CodesOf& codes) {
  return QuantSpec::parse(call.attrs.get_string(codes.spec));
}

Verdict supports_operand(const Call& call, const CodesOf& codes) {
  const QuantSpec spec = spec_of(call, codes);
  const Verdict fits = supports_codes(call, spec, MatrixView::activation, codes.input,
                                      codes.input + 1, std::nullopt);
  if (!fits.supported) return fits;
  if (spec.tile_cols != 0) {
    return Verdict::no(fmt::format("{} {} has scales along a row", codes.spec, spec.text()));
  }
  if (!widens_fast(call.inputs[codes.input]->dtype)) {
    return Verdict::no(fmt::format("no vector form decodes {}", spec.format));
  }
  if (call.inputs[codes.input + 1]->dtype != DType::f32) return Verdict::no("a scale is not f32");
  return Verdict::yes();
}

Verdict supports(const Call& call) {
  return all_of({supports_operand(call, kCodes[0]), supports_operand(call, kCodes[1]),
                 supports_operand(call, kCodes[2]), supports_attention_blocks(call, kQ, kK, kBias),
                 supports_attention_output(call, kOutScale)});
}

size_t workspace(const Call& call, const KernelState*) {
  attention_blocks(call, kQ, kK, kBias).prepare();
  Arena arena(nullptr);
  for (const CodesOf& codes : kCodes) arena.take<float>(element_count(shape_of(call, codes.input)));
  return arena.used() + attention_output_workspace(call);
}

const float* dequantized(const Call& call, const Buffers& buffers, const CodesOf& codes,
                         Arena& arena) {
  const Operand& operand = *call.inputs[codes.input];
  const QuantSpec spec = spec_of(call, codes);
  const ScaleGrid grid(spec, operand.shape, MatrixView::activation,
                       static_cast<const float*>(buffers.inputs[codes.input + 1]), nullptr);
  auto* values = arena.take<float>(element_count(operand.shape));
  const auto* from = static_cast<const std::byte*>(buffers.inputs[codes.input]);
  const int64_t depth = last_dim(operand.shape);
  parallel_for(leading_rows(operand.shape), rows_of_chunk(depth), [&](int64_t begin, int64_t end) {
    widen(operand.dtype, from + begin * depth, values + begin * depth, (end - begin) * depth);
    for (int64_t row = begin; row < end; ++row) {
      const float scale = grid.scale(row, 0);
      for (int64_t d = 0; d < depth; ++d) values[row * depth + d] *= scale;
    }
  });
  return values;
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  Arena arena(buffers.workspace);
  AttentionBlocks blocks = attention_blocks(call, kQ, kK, kBias);
  blocks.q.data = dequantized(call, buffers, kCodes[0], arena);
  blocks.k.data = dequantized(call, buffers, kCodes[1], arena);
  blocks.v.data = dequantized(call, buffers, kCodes[2], arena);
  blocks.bias.data = data_of(call, buffers, kBias);
  run_to_output(call, blocks, kOutScale, buffers,
                arena.take<float>(element_count(call.outputs[0].shape)));
}

}  // namespace

const Kernel kQuantizedAttentionF32Onednn = {.name = "quantized_attention_f32_onednn",
                                             .op = Op::quantized_attention,
                                             .supports = supports,
                                             .workspace = workspace,
                                             .launch = launch};

}  // namespace octavo::cpu
