#include <string_view>

#include <fmt/ranges.h>

#include "base/check.h"
#include "kernels/device.h"
#include "kernels/kernel.h"

namespace octavo {
namespace {

bool is_reference(const Kernel& kernel) { return std::string_view(kernel.name).ends_with("_ref"); }

std::string describe(const Operand& operand) {
  return fmt::format("{}{}", name(operand.dtype), to_string(operand.shape));
}

// "linear(f32[2, 8], f32[4, 8], -) -> f32[2, 4]"
std::string describe(const Call& call) {
  std::vector<std::string> inputs, outputs;
  for (const auto& input : call.inputs) inputs.push_back(input ? describe(*input) : "-");
  for (const auto& output : call.outputs) outputs.push_back(describe(output));
  return fmt::format("{}({}) -> {}", name(call.op), fmt::join(inputs, ", "),
                     fmt::join(outputs, ", "));
}

}  // namespace

std::span<const Kernel> kernels_of(const Device* device, Op op) {
  return device == nullptr ? cpu_kernels(op) : cuda_kernels(op);
}

Selection select_kernel(const Call& call, bool reference_only) {
  Selection selection;
  for (const Kernel& kernel : kernels_of(call.device, call.op)) {
    if (reference_only && !is_reference(kernel)) continue;
    const Verdict verdict = kernel.supports(call);
    if (verdict.supported) {
      selection.kernel = &kernel;
      return selection;
    }
    selection.refusals.push_back(fmt::format("{}: {}", kernel.name, verdict.reason));
  }
  if (selection.refusals.empty()) selection.refusals.push_back("there is none for this op");
  OCTAVO_FAIL(unsupported, "[{}] no kernel on {} for {}: {}", call.name,
              call.device ? call.device->info().label : "the CPU", describe(call),
              fmt::join(selection.refusals, "; "));
}

}  // namespace octavo
