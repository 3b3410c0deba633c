#pragma once
// Sums that are exact whatever the order: 128-bit integers in units of a power of two. What is
// added is rounded to the unit once; adding and merging lose nothing.
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace octavo {

__extension__ typedef __int128 Int128;

// Whether the sum fits: only numbers of a damaged file do not.
inline bool add_exactly(Int128& sum, Int128 addend) {
  return !__builtin_add_overflow(sum, addend, &sum);
}

struct Fixed {
  double unit, limit;  // powers of two; what is added is held within +-limit

  // `value` is a number. To nearest, ties to even.
  Int128 from(double value) const {
    const double units = std::clamp(value, -limit, limit) / unit;  // exact
    if (std::fabs(units) < 0x1p51) return static_cast<int64_t>(units + kRound) - kRoundInt;
    // An integer by now, in two exact parts.
    const auto high = static_cast<int64_t>(units * 0x1p-60);
    const auto low = static_cast<int64_t>(units - static_cast<double>(high) * 0x1p60);
    return static_cast<Int128>(high) * (int64_t{1} << 60) + low;
  }
  double value(Int128 sum) const { return static_cast<double>(sum) * unit; }

 private:
  // Numbers of this size have no fraction: adding one rounds.
  static constexpr double kRound = 0x1.8p52;
  static constexpr int64_t kRoundInt = static_cast<int64_t>(kRound);
};

// At least 2^(127 + log2(unit) - log2(limit)) addends fit: 2^27 and 2^22.
constexpr Fixed kChannelSum{0x1p-52, 0x1p48};  // a channel's values over a run of rows
constexpr Fixed kMomentSum{0x1p-48, 0x1p57};   // products of two channels over a block of rows

}  // namespace octavo
