#pragma once
// The first output of ops that can quantize it themselves (attribute out_spec): plain floats, or
// f32 rows that finish() quantizes into codes and scale.
#include <optional>

#include "kernels/cpu/activation.h"
#include "kernels/cpu/ref/operands.h"
#include "octavo/quant_spec.h"

namespace octavo::cpu {

// scale_input: the index of the op's optional out_scale input.
Verdict supports_fused_output(const Call& call, size_t scale_input);
void count_fused_output(const Call& call, Arena& arena);

class FusedOutput {
 public:
  FusedOutput(const Call& call, const Buffers& buffers, size_t scale_input, Arena& arena);
  void set(int64_t i, double value) const {
    if (rows_) {
      rows_[i] = static_cast<float>(value);
    } else {
      plain_.set(i, value);
    }
  }
  void finish() const;

 private:
  const Call& call_;
  const Buffers& buffers_;
  size_t scale_input_;
  FloatOutput plain_;
  float* rows_ = nullptr;
};

std::optional<QuantSpec> out_spec(const Call& call);

// The activation attribute; absent means none.
Verdict supports_activation(const Call& call);
Activation activation_of(const Call& call);

}  // namespace octavo::cpu
