#pragma once
// The activation functions that kernels fuse, as scalars. Reference kernels use these; a vectorised
// kernel may differ from them by a few units in the last place, so bit equality between kernels is
// claimed for outputs without activation only.
#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <string_view>

namespace octavo::cpu {

enum class Activation : uint8_t { none, silu, gelu_tanh, gelu };

// The activation attribute's values: "none", "silu", "gelu_tanh", "gelu".
inline std::optional<Activation> find_activation(std::string_view name) {
  if (name == "none") return Activation::none;
  if (name == "silu") return Activation::silu;
  if (name == "gelu_tanh") return Activation::gelu_tanh;
  if (name == "gelu") return Activation::gelu;
  return std::nullopt;
}

inline double silu(double x) { return x / (1.0 + std::exp(-x)); }
inline double gelu(double x) { return 0.5 * x * std::erfc(-x / std::numbers::sqrt2); }
// Hendrycks, Gimpel: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
inline double gelu_tanh(double x) {
  constexpr double kSqrt2OverPi = 0.7978845608028653559;
  return 0.5 * x * (1.0 + std::tanh(kSqrt2OverPi * (x + 0.044715 * x * x * x)));
}

inline double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::silu:
      return silu(x);
    case Activation::gelu_tanh:
      return gelu_tanh(x);
    case Activation::gelu:
      return gelu(x);
    case Activation::none:
      break;
  }
  return x;
}

}  // namespace octavo::cpu
