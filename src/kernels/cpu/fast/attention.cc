// attention over f32 and bf16 operands.
#include "kernels/cpu/fast/attention_blocks.h"
#include "kernels/cpu/fast/fast.h"
#include "kernels/cpu/fast/support.h"

namespace octavo::cpu {
namespace {

enum Input : size_t { kQ, kK, kV, kBias, kOutScale };

Verdict supports(const Call& call) {
  return all_of({vector_float(call, kQ, "q"), vector_float(call, kK, "k"),
                 vector_float(call, kV, "v"), supports_attention_blocks(call, kQ, kK, kBias),
                 supports_attention_output(call, kOutScale)});
}

AttentionBlocks blocks_of(const Call& call) {
  AttentionBlocks blocks = attention_blocks(call, kQ, kK, kBias);
  blocks.q.type = call.inputs[kQ]->dtype;
  blocks.k.type = call.inputs[kK]->dtype;
  blocks.v.type = call.inputs[kV]->dtype;
  return blocks;
}

size_t workspace(const Call& call, const KernelState*) {
  blocks_of(call).prepare();
  return attention_output_workspace(call);
}

void launch(const Call& call, const KernelState*, const Buffers& buffers) {
  AttentionBlocks blocks = blocks_of(call);
  blocks.q.data = buffers.inputs[kQ];
  blocks.k.data = buffers.inputs[kK];
  blocks.v.data = buffers.inputs[kV];
  blocks.bias.data = data_of(call, buffers, kBias);
  run_to_output(call, blocks, kOutScale, buffers, buffers.workspace);
}

}  // namespace

const Kernel kAttentionF32Onednn = {.name = "attention_f32_onednn",
                                    .op = Op::attention,
                                    .supports = supports,
                                    .workspace = workspace,
                                    .launch = launch};

}  // namespace octavo::cpu
