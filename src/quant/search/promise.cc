#include "quant/search/promise.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "base/check.h"

namespace octavo {
namespace {

constexpr std::string_view kMeasure = "psnr>=";
constexpr double kLargest = 120;  // dB
constexpr size_t kFewest = 4;     // pictures that an interval can be of

std::string without_spaces(std::string_view text) {
  std::string kept;
  for (char c : text) {
    if (c != ' ') kept += c;
  }
  return kept;
}

}  // namespace

Promise Promise::parse(std::string_view text) {
  const std::string plain = without_spaces(text);
  Promise promise;
  const char* end = plain.data() + plain.size();
  const bool named = plain.starts_with(kMeasure);
  const auto [stop, error] =
      named ? std::from_chars(plain.data() + kMeasure.size(), end, promise.psnr)
            : std::from_chars_result{plain.data(), std::errc::invalid_argument};
  OCTAVO_CHECK(error == std::errc() && stop == end && promise.psnr > 0 && promise.psnr <= kLargest,
               "'{}' is nothing that a search can keep; expected psnr>=DB, the decoded pictures' "
               "mean PSNR against the float model, 0 < DB <= {}",
               text, kLargest);
  return promise;
}

std::string Promise::text() const { return fmt::format("{}{}", kMeasure, psnr); }

PromptPool::PromptPool(const std::vector<std::string>& prompts,
                       const std::vector<std::string>& calibrated, size_t searched,
                       size_t verified) {
  std::set<std::string> seen(calibrated.begin(), calibrated.end());
  std::vector<std::string> unique;
  for (const std::string& prompt : prompts) {
    if (seen.insert(prompt).second) unique.push_back(prompt);
  }
  OCTAVO_CHECK(
      unique.size() >= searched + kFewest,
      "{} different prompts that the calibration did not see: {} to search on and at least "
      "{} others to verify on are needed; give more prompts, or search on fewer",
      unique.size(), searched, kFewest);
  // Evenly spread over the file, whose neighbours are often alike.
  std::set<size_t> chosen;
  for (size_t i = 0; i < searched; ++i) chosen.insert(i * unique.size() / searched);
  std::vector<std::string> rest;
  for (size_t i = 0; i < unique.size(); ++i) {
    (chosen.count(i) ? searched_ : rest).push_back(unique[i]);
  }
  each_ = std::min(verified, rest.size());
  const size_t rounds = rest.size() / each_;
  for (size_t r = 0; r < rounds; ++r) {  // round r: every rounds-th prompt
    for (size_t i = 0; i < each_; ++i) rest_.push_back(rest[i * rounds + r]);
  }
}

std::vector<std::string> PromptPool::verified(size_t round) const {
  const auto begin = rest_.begin() + static_cast<int64_t>(round % fresh_rounds() * each_);
  return {begin, begin + static_cast<int64_t>(each_)};
}

}  // namespace octavo
