#include "base/env.h"

#include <array>
#include <cstdlib>
#include <string_view>

#include "base/check.h"

namespace octavo {
namespace {

constexpr std::array kTable{
    EnvVar{"OCTAVO_THREADS", "1..1024", "CPUs this process may run on", "threads of every stage"},
    EnvVar{"OCTAVO_LOG", "quiet|warning|info|debug", "warning", "what is logged on stderr"},
    EnvVar{"OCTAVO_DISABLE_PASSES", "names, comma-separated", "none", "graph passes to leave out"},
    EnvVar{"OCTAVO_KERNELS", "ref|fast", "fast", "ref: only the reference kernels"},
    EnvVar{"OCTAVO_PLAN_REUSE", "0|1", "1", "0: every value gets memory of its own"},
    EnvVar{"OCTAVO_PLAN_RECORD", "0|1", "1",
           "0: kernels on a device are launched one by one, not replayed"},
    EnvVar{"OCTAVO_PLAN_GROUP", "0|1", "1",
           "0: kernels on a device that could share a launch are launched one by one"},
    EnvVar{"OCTAVO_BATCH_INVARIANT", "0|1", "0",
           "1: on a device, a sample's bits do not depend on how many others share its batch"},
    EnvVar{"OCTAVO_ALLOW_FALLBACK", "0|1", "0",
           "1: a device without FP8 units multiplies FP8 codes as bf16, which is exact and slower"},
    EnvVar{"OCTAVO_FP8_SUMS", "fast|accurate", "fast",
           "accurate: e4m3 products leave the tensor cores' 14-bit sums every 128 of K (sm_90)"},
    EnvVar{"OCTAVO_CPU_ISA", "oneDNN ISA name, as avx2", "what the CPU has",
           "cap on the instructions that CPU kernels use"},
};

}  // namespace

std::span<const EnvVar> env_table() { return kTable; }

std::optional<std::string> env(const char* name) {
  bool listed = false;
  for (const EnvVar& var : kTable) listed = listed || std::string_view(var.name) == name;
  OCTAVO_ASSERT(listed);
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

}  // namespace octavo
