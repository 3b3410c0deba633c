#pragma once
// The bins of |x| that statistics count in: eight an octave, of equal width within it, from 2^-24
// to 2^24, with one below (zero too) and one above. A bin number is the top bits of the f32, so
// counting costs a shift; a quantile is known to a twelfth and interpolated within its bin.
#include <cstdint>
#include <vector>

namespace octavo {

struct Histogram {
  static constexpr int kOctaves = 48, kBinsPerOctave = 8, kLowExponent = -24;
  static constexpr int kBins = kOctaves * kBinsPerOctave + 2;  // bin 0: under, the last: over

  // Bin of a finite magnitude, given as the bits of a non-negative f32.
  static int bin(uint32_t magnitude_bits) {
    const int index = static_cast<int>(magnitude_bits >> kShift) - kFirst + 1;
    return index < 0 ? 0 : index >= kBins ? kBins - 1 : index;
  }
  static float lower(int bin);  // of bin 0: 0
  static float upper(int bin);  // of the last: infinity

  // The p-th quantile, 0 <= p <= 1, of what was counted, between order statistics as NumPy's
  // "linear" method has it, assuming even spread in a bin; never above `max`. 0 when nothing was
  // counted.
  static float quantile(const std::vector<uint64_t>& counts, double p, float max);

 private:
  static constexpr int kMantissaBitsKept = 3;  // 2^3 bins an octave
  static constexpr int kShift = 23 - kMantissaBitsKept;
  static constexpr int kFirst = (127 + kLowExponent) << kMantissaBitsKept;
  static_assert(kBinsPerOctave == 1 << kMantissaBitsKept);
};

}  // namespace octavo
