#pragma once
// The bound that the user asked for, and whether a model keeps it on pictures that nothing was
// chosen on.
#include <string>
#include <string_view>
#include <vector>

#include "judge/measure.h"

namespace octavo {

struct Promise {
  double psnr = 0;  // dB, mean over pictures, at least
  // "psnr>=42"; Error{invalid_argument} says what can be asked for.
  static Promise parse(std::string_view text);
  std::string text() const;
};

struct Verification {
  std::vector<std::string> prompts;
  double predicted = 0;  // mean PSNR in dB that the estimator expected, corrected by what was known
  Interval psnr;         // of the mean over the prompts, 95 % bootstrap
  bool keeps(const Promise& promise) const { return psnr.low >= promise.psnr; }
};

// Prompts for the search and for each verification: no prompt in two of them, and none of the
// calibration's, which solving knows: errors on those are smaller. Error when there are too few.
class PromptPool {
 public:
  PromptPool(const std::vector<std::string>& prompts, const std::vector<std::string>& calibrated,
             size_t searched, size_t verified);

  const std::vector<std::string>& searched() const { return searched_; }
  // Of one round. When the pool is used up, its rounds are used again.
  std::vector<std::string> verified(size_t round) const;
  size_t fresh_rounds() const { return rest_.size() / each_; }

 private:
  std::vector<std::string> searched_, rest_;
  size_t each_;
};

}  // namespace octavo
