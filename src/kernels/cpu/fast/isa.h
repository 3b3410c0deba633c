#pragma once
// What this CPU can do, capped by OCTAVO_CPU_ISA.

namespace octavo::cpu {

// Applies OCTAVO_CPU_ISA to oneDNN and Highway, once; before any fast kernel is selected.
void apply_isa_cap();

// int8 products accumulate exactly in int32 (VNNI). Without it oneDNN adds pairs of products in
// saturating int16.
bool has_exact_int8_dot();
// bf16 products in hardware (AVX512_BF16 or better).
bool has_bf16_dot();

}  // namespace octavo::cpu
