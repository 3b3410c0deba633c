#include "kernels/cpu/fast/isa.h"

#include <hwy/targets.h>

#include <dnnl.hpp>
#include <string>

#include "base/check.h"
#include "base/env.h"

namespace octavo::cpu {
namespace {

struct IsaName {
  const char* name;
  dnnl::cpu_isa isa;
  int64_t disabled;  // Highway targets above it
};

constexpr int64_t kAboveAvx2 = HWY_AVX2 - 1;  // a lower bit is a better target
constexpr int64_t kAboveAvx3 = HWY_AVX3 - 1;
constexpr int64_t kAboveSse4 = HWY_SSE4 - 1;

constexpr IsaName kIsaNames[] = {
    {"sse41", dnnl::cpu_isa::sse41, kAboveSse4},
    {"avx2", dnnl::cpu_isa::avx2, kAboveAvx2},
    {"avx2_vnni", dnnl::cpu_isa::avx2_vnni, kAboveAvx2},
    {"avx512_core", dnnl::cpu_isa::avx512_core, kAboveAvx3},
    {"avx512_core_vnni", dnnl::cpu_isa::avx512_core_vnni, kAboveAvx3},
    {"avx512_core_bf16", dnnl::cpu_isa::avx512_core_bf16, 0},
    {"avx512_core_fp16", dnnl::cpu_isa::avx512_core_fp16, 0},
    {"avx512_core_amx", dnnl::cpu_isa::avx512_core_amx, 0},
};

void cap_isa() {
  const auto wanted = env("OCTAVO_CPU_ISA");
  if (!wanted) return;
  std::string known;
  for (const IsaName& row : kIsaNames) {
    if (*wanted == row.name) {
      OCTAVO_ASSERT(dnnl::set_max_cpu_isa(row.isa) == dnnl::status::success);
      if (row.disabled != 0) hwy::DisableTargets(row.disabled);
      return;
    }
    known += known.empty() ? "" : ", ";
    known += row.name;
  }
  OCTAVO_FAIL(invalid_argument, "OCTAVO_CPU_ISA is \"{}\"; expected one of: {}", *wanted, known);
}

bool isa_includes(dnnl::cpu_isa isa) {
  apply_isa_cap();
  const auto have = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto want = static_cast<unsigned>(isa);
  return (have & want) == want;
}

}  // namespace

void apply_isa_cap() {
  static const bool done = (cap_isa(), true);
  (void)done;
}

bool has_exact_int8_dot() {
  static const bool has =
      isa_includes(dnnl::cpu_isa::avx512_core_vnni) || isa_includes(dnnl::cpu_isa::avx2_vnni);
  return has;
}

bool has_bf16_dot() {
  static const bool has = isa_includes(dnnl::cpu_isa::avx512_core_bf16);
  return has;
}

}  // namespace octavo::cpu
