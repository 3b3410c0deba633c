#pragma once
// How a layer's quantized form is found: the words behind the scheme in a line of a recipe
// (docs/quantization.md has the table). What they do is said in input_transform.h, solver.h,
// weight_scales.h, gptq.h, low_rank.h, sparsity.h and bias_correction.h.
#include <optional>
#include <string>
#include <string_view>

#include "octavo/quant_spec.h"
#include "quant/solver.h"

namespace octavo {

// What is done to a layer's input before it is rounded, and undone in weight and bias.
struct InputWords {
  enum class Shift : uint8_t { none, mean, middle };
  enum class Smooth : uint8_t { none, given, tuned, rms };
  static constexpr int64_t kLargestBlock = -1;

  Shift shift = Shift::none;
  Smooth smooth = Smooth::none;
  double alpha = 0;      // of Smooth::given
  int64_t rotation = 0;  // block of the Hadamard transform, a power of two; 0: none
  bool any() const { return shift != Shift::none || smooth != Smooth::none || rotation != 0; }
  bool operator==(const InputWords&) const = default;
};

struct LayerWords {
  enum class Clip : uint8_t { absmax, mse, output };
  enum class Rounding : uint8_t { nearest, gptq };
  enum class Sparsity : uint8_t { none, magnitude, hessian };

  InputWords input;
  Solver solver;      // of static activations' ranges
  double margin = 1;  // times the range found
  bool scale_each_step = false;
  int64_t low_rank = 0;
  Rounding rounding = Rounding::nearest;
  double damping = 0.01;  // of the second moments, for everything that uses them
  Clip clip = Clip::absmax;
  bool correct_bias = false;
  Sparsity sparsity = Sparsity::none;

  // Takes one word of a line; false when it is none of these. Error{invalid_argument} says what is
  // allowed, also when the word is among those `taken` before (bits; 0 at a line's begin).
  bool take(std::string_view word, unsigned& taken);
  // The words that differ from the defaults, in a fixed order; parses to the same.
  std::string text() const;
  bool operator==(const LayerWords&) const = default;
};

// Why the words cannot be had with a scheme, whatever the layer; empty when they can.
std::string obstacle(const LayerWords& words, const Scheme& scheme);
// What of the calibration a layer so quantized needs; empty: nothing. "round=gptq needs second
// moments" and the like, for messages.
std::string statistics_needed(const LayerWords& words, const Scheme& scheme);
bool uses_moments(const LayerWords& words);  // of the weight: second moments of the input
bool is_static(const Scheme& scheme);        // activations by calibrated scales

// All words with their meaning, one a line: for help texts.
std::string layer_words_help();

}  // namespace octavo
