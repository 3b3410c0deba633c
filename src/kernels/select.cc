#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "base/check.h"
#include "kernels/device.h"
#include "kernels/kernel.h"
#include "octavo/quant_spec.h"

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

Verdict device_knows_specs(const Call& call) {
  constexpr std::string_view kFormats[] = {"e4m3", "e5m2", "e3m2", "e2m2", "e2m1", "i8", "i4"};
  constexpr std::string_view kScales[] = {"f32", "f16", "bf16", "e8m0", "e4m3"};
  const auto among = [](const auto& names, std::string_view name) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  for (const char* key : {"spec", "w_spec", "x_spec", "out_spec", "q_spec", "k_spec", "v_spec"}) {
    if (!call.attrs.has(key)) continue;
    const QuantSpec spec = QuantSpec::parse(call.attrs.get_string(key));
    if (among(kFormats, spec.format) && among(kScales, spec.scale)) continue;
    return Verdict::no(fmt::format("{} {} is for the CPU only", key, spec.text()));
  }
  return Verdict::yes();
}

std::span<const Kernel> kernels_of(const Device* device, Op op) {
  return device == nullptr ? cpu_kernels(op) : cuda_kernels(op);
}

Selection select_kernel(const Call& call, bool reference_only) {
  Selection selection;
  const Verdict device = call.device ? device_knows_specs(call) : Verdict::yes();
  for (const Kernel& kernel : kernels_of(call.device, call.op)) {
    if (reference_only && !is_reference(kernel)) continue;
    const Verdict verdict = device.supported ? kernel.supports(call) : device;
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
