#include "sample/rng.h"

#include <span>

#include "base/check.h"
#include "sample/philox.h"
#include "sample/torch_normal.h"

namespace octavo {

RngKind parse_rng(std::string_view name) {
  if (name == "torch") return RngKind::torch;
  if (name == "philox") return RngKind::philox;
  OCTAVO_FAIL(invalid_argument, "random generator \"{}\" is not known; one of: torch, philox",
              name);
}

Tensor randn(RngKind kind, uint64_t seed, Shape shape) {
  Tensor noise = Tensor::empty(DType::f32, std::move(shape));
  const std::span<float> out(noise.as_mutable<float>(), static_cast<size_t>(noise.elements()));
  kind == RngKind::torch ? torch_normal(seed, out) : philox_normal(seed, out);
  return noise;
}

}  // namespace octavo
