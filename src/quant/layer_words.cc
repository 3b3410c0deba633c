#include "quant/layer_words.h"

#include <fmt/ranges.h>

#include <bit>
#include <charconv>
#include <vector>

#include "base/check.h"

namespace octavo {
namespace {

using Shift = InputWords::Shift;
using Smooth = InputWords::Smooth;

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int64_t> positive(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1) return std::nullopt;
  return value;
}

// The parts of the table's rows: take() is given what stands behind '=', empty without one, and
// says whether that is allowed; text() gives the whole word, empty for the default.
bool take_solver(LayerWords& w, std::string_view value) {
  w.solver = Solver::parse(value);
  return true;
}
std::string solver_text(const LayerWords& w) {
  return w.solver == Solver{} ? "" : "solver=" + w.solver.text();
}

bool take_margin(LayerWords& w, std::string_view value) {
  const auto margin = number(value);
  if (!margin || !(*margin >= 0.25 && *margin <= 4)) return false;
  w.margin = *margin;
  return true;
}
std::string margin_text(const LayerWords& w) {
  return w.margin == 1 ? "" : fmt::format("margin={}", w.margin);
}

bool take_steps(LayerWords& w, std::string_view value) {
  w.scale_each_step = true;
  return value == "each";
}
std::string steps_text(const LayerWords& w) { return w.scale_each_step ? "steps=each" : ""; }

bool take_shift(LayerWords& w, std::string_view value) {
  w.input.shift = value == "middle" ? Shift::middle : Shift::mean;
  return value.empty() || value == "mean" || value == "middle";
}
std::string shift_text(const LayerWords& w) {
  return w.input.shift == Shift::none   ? ""
         : w.input.shift == Shift::mean ? "shift"
                                        : "shift=middle";
}

bool take_smooth(LayerWords& w, std::string_view value) {
  w.input.smooth = value == "auto" ? Smooth::tuned : value == "rms" ? Smooth::rms : Smooth::given;
  if (w.input.smooth != Smooth::given) return true;
  const auto alpha = number(value);
  if (!alpha || !(*alpha >= 0 && *alpha <= 1)) return false;
  w.input.alpha = *alpha;
  return true;
}
std::string smooth_text(const LayerWords& w) {
  if (w.input.smooth == Smooth::none) return "";
  if (w.input.smooth == Smooth::given) return fmt::format("smooth={}", w.input.alpha);
  return w.input.smooth == Smooth::tuned ? "smooth=auto" : "smooth=rms";
}

bool take_rotate(LayerWords& w, std::string_view value) {
  w.input.rotation = InputWords::kLargestBlock;
  if (value.empty()) return true;
  const auto block = positive(value);
  if (!block || *block < 2 || !std::has_single_bit(static_cast<uint64_t>(*block))) return false;
  w.input.rotation = *block;
  return true;
}
std::string rotate_text(const LayerWords& w) {
  if (w.input.rotation == 0) return "";
  return w.input.rotation < 0 ? "rotate" : fmt::format("rotate={}", w.input.rotation);
}

bool take_low_rank(LayerWords& w, std::string_view value) {
  const auto rank = positive(value);
  w.low_rank = rank.value_or(0);
  return rank.has_value();
}
std::string low_rank_text(const LayerWords& w) {
  return w.low_rank == 0 ? "" : fmt::format("low-rank={}", w.low_rank);
}

bool take_round(LayerWords& w, std::string_view value) {
  w.rounding = value == "gptq" ? LayerWords::Rounding::gptq : LayerWords::Rounding::nearest;
  return value == "gptq" || value == "nearest";
}
std::string round_text(const LayerWords& w) {
  return w.rounding == LayerWords::Rounding::nearest ? "" : "round=gptq";
}

bool take_damping(LayerWords& w, std::string_view value) {
  const auto damping = number(value);
  if (!damping || !(*damping >= 1e-4 && *damping <= 10)) return false;
  w.damping = *damping;
  return true;
}
std::string damping_text(const LayerWords& w) {
  return w.damping == 0.01 ? "" : fmt::format("damping={}", w.damping);
}

bool take_clip(LayerWords& w, std::string_view value) {
  w.clip = value == "mse"      ? LayerWords::Clip::mse
           : value == "output" ? LayerWords::Clip::output
                               : LayerWords::Clip::absmax;
  return value == "mse" || value == "output" || value == "absmax";
}
std::string clip_text(const LayerWords& w) {
  if (w.clip == LayerWords::Clip::absmax) return "";
  return w.clip == LayerWords::Clip::mse ? "clip=mse" : "clip=output";
}

bool take_bias(LayerWords& w, std::string_view value) {
  w.correct_bias = true;
  return value.empty();
}
std::string bias_text(const LayerWords& w) { return w.correct_bias ? "correct-bias" : ""; }

bool take_sparse(LayerWords& w, std::string_view value) {
  w.sparsity = value == "2:4" ? LayerWords::Sparsity::magnitude : LayerWords::Sparsity::hessian;
  return value == "2:4" || value == "2:4:hessian";
}
std::string sparse_text(const LayerWords& w) {
  if (w.sparsity == LayerWords::Sparsity::none) return "";
  return w.sparsity == LayerWords::Sparsity::magnitude ? "sparse=2:4" : "sparse=2:4:hessian";
}

struct Word {
  const char* name;
  const char* allowed;  // the whole word
  const char* meaning;
  bool (*take)(LayerWords& words, std::string_view value);
  std::string (*text)(const LayerWords& words);
};

constexpr Word kWords[] = {
    {"shift", "shift, shift=mean or shift=middle",
     "subtract each channel's mean, or the middle of its range, from the input", take_shift,
     shift_text},
    {"smooth", "smooth=ALPHA with ALPHA from 0 to 1, smooth=rms or smooth=auto",
     "divide channels by absmax^ALPHA / weight absmax^(1-ALPHA) (SmoothQuant)", take_smooth,
     smooth_text},
    {"rotate", "rotate, or rotate=BLOCK with a power of two from 2",
     "Hadamard transform of the channels, in blocks (largest that divides them)", take_rotate,
     rotate_text},
    {"solver", "solver=SOLVER", "range of static activations", take_solver, solver_text},
    {"margin", "margin=FACTOR with FACTOR from 0.25 to 4", "times the range that the solver found",
     take_margin, margin_text},
    {"steps", "steps=each", "static activations: a scale for each denoising step", take_steps,
     steps_text},
    {"low-rank", "low-rank=RANK with RANK from 1", "a branch in bf16 beside the product (SVDQuant)",
     take_low_rank, low_rank_text},
    {"clip", "clip=absmax, clip=mse or clip=output",
     "weight scales: full range, least squared error, least squared error weighted by the inputs",
     take_clip, clip_text},
    {"round", "round=nearest or round=gptq", "weight codes: nearest, or of the least output error",
     take_round, round_text},
    {"damping", "damping=FACTOR with FACTOR from 0.0001 to 10",
     "of the inputs' second moments, times their mean: how far they are trusted (0.01)",
     take_damping, damping_text},
    {"sparse", "sparse=2:4 or sparse=2:4:hessian",
     "prune two of any four weights, by magnitude or by output error", take_sparse, sparse_text},
    {"correct-bias", "correct-bias", "the mean error of the layer's output goes into its bias",
     take_bias, bias_text},
};

}  // namespace

bool LayerWords::take(std::string_view word, unsigned& taken) {
  const size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  unsigned bit = 1;
  for (const Word& row : kWords) {
    if (row.name == name) {
      OCTAVO_CHECK((taken & bit) == 0, "a second {} '{}'; a line has one", row.name, word);
      taken |= bit;
      const bool good = row.take(*this, equals == word.npos ? "" : word.substr(equals + 1)) &&
                        (equals == word.npos || equals + 1 < word.size());
      OCTAVO_CHECK(good, "'{}' is not allowed; expected {}", word, row.allowed);
      return true;
    }
    bit <<= 1;
  }
  return false;
}

std::string LayerWords::text() const {
  std::vector<std::string> words;
  for (const Word& row : kWords) {
    std::string word = row.text(*this);
    if (!word.empty()) words.push_back(std::move(word));
  }
  return fmt::format("{}", fmt::join(words, " "));
}

bool is_static(const Scheme& scheme) {
  return scheme.activation && scheme.activation->timing == QuantSpec::Timing::static_;
}

std::string obstacle(const LayerWords& words, const Scheme& scheme) {
  if (!is_static(scheme)) {
    for (const char* name : {"solver", "margin", "steps"}) {
      for (const Word& row : kWords) {
        const std::string word = row.name == std::string_view(name) ? row.text(words) : "";
        if (word.empty()) continue;
        return fmt::format("{} has nothing to solve: '{}' has no static activation; leave it out",
                           word, scheme.text());
      }
    }
  }
  if (words.solver.name == "steps") {
    if (words.input.any()) {
      return fmt::format("{} is defined for inputs as they are; leave out shift, smooth and rotate",
                         words.solver.text());
    }
    if (words.scale_each_step) {
      return fmt::format("{} gives one scale over the steps; leave out steps=each",
                         words.solver.text());
    }
  }
  if (words.damping != LayerWords{}.damping && !uses_moments(words)) {
    return fmt::format("{} damps nothing: no word uses second moments; leave it out",
                       damping_text(words));
  }
  return {};
}

bool uses_moments(const LayerWords& words) {
  return words.rounding == LayerWords::Rounding::gptq || words.low_rank != 0 ||
         words.sparsity == LayerWords::Sparsity::hessian || words.clip == LayerWords::Clip::output;
}

std::string statistics_needed(const LayerWords& words, const Scheme& scheme) {
  using W = LayerWords;
  if (words.rounding == W::Rounding::gptq) return "round=gptq needs second moments of the input";
  if (words.low_rank != 0) return "low-rank needs second moments of the input";
  if (words.sparsity == W::Sparsity::hessian) {
    return "sparse=2:4:hessian needs second moments of the input";
  }
  if (words.clip == W::Clip::output) return "clip=output needs second moments of the input";
  if (is_static(scheme)) return "a static activation needs statistics";
  if (words.input.shift != Shift::none) return "shift needs the input's channel statistics";
  if (words.input.smooth == Smooth::tuned) return "smooth=auto needs recorded input rows";
  if (words.input.smooth == Smooth::rms) return "smooth=rms needs second moments of the input";
  if (words.input.smooth == Smooth::given) return "smooth needs the input's channel statistics";
  if (words.correct_bias) return "correct-bias needs the input's channel statistics";
  return {};
}

std::string layer_words_help() {
  std::string text;
  for (const Word& row : kWords)
    text += fmt::format("  {:14s} {}: {}\n", row.name, row.allowed, row.meaning);
  return text;
}

}  // namespace octavo
