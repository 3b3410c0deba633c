#include "quant/collector.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace octavo {
namespace {

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014) over two numbers.
uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t z = a ^ (b + 0x9e3779b97f4a7c15u + (a << 6) + (a >> 2));
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

enum Purpose : uint64_t { kSampled = 1, kMoment = 2 };

uint64_t key_of(Purpose purpose, uint64_t prompt, int64_t occurrence, int step) {
  return mix(mix(mix(prompt, purpose), static_cast<uint64_t>(occurrence)),
             static_cast<uint64_t>(step + 1));
}

// Fit for products in f32: finite, and of no size that only a broken model has.
bool is_usable(const float* row, int64_t channels) {
  constexpr float kMost = 0x1p24f;
  bool usable = true;
  for (int64_t c = 0; c < channels; ++c) usable &= std::fabs(row[c]) < kMost;
  return usable;
}

}  // namespace

void Collector::select(bool light, std::set<std::string> heavy) {
  light_ = light;
  heavy_ = std::move(heavy);
}

void Collector::begin(std::vector<uint64_t> prompts) {
  prompts_ = std::move(prompts);
  seen_.clear();
}

void Collector::see(const std::string& value, int step, const Tensor& tensor) {
  const auto found = watches_.find(value);
  if (found == watches_.end()) return;
  const Watched& watched = found->second;
  const bool heavy = watched.rows && heavy_.count(value) != 0;
  if (!light_ && !heavy) return;
  LayerStats& stats = stats_.inputs[value];
  for (const std::string& layer : watched.layers) stats_.layers[layer] = value;
  if (light_) {
    const size_t times = watched.batched ? 1 : prompts_.size();
    const StepStats one = observe(tensor, watched.channel_axis);
    for (size_t i = 0; i < times; ++i) stats.steps[step].merge(one);
  }
  if (heavy) add_samples(value, step, tensor);
}

void Collector::add_samples(const std::string& value, int step, const Tensor& tensor) {
  const Tensor values = tensor.to(DType::f32);
  const auto prompts = static_cast<int64_t>(prompts_.size());
  const bool batched = watches_.at(value).batched;
  const int64_t samples = batched ? values.dim(0) : prompts, channels = values.dim(-1);
  OCTAVO_CHECK_CODE(internal, prompts > 0 && samples % prompts == 0,
                    "value {} of {} samples was computed for {} prompts", value, samples, prompts);
  const int64_t size = values.elements() / (batched ? samples : 1);
  if (size == 0) return;
  int64_t& seen = seen_[{value, step}];
  StepStats& stats = stats_.inputs[value].steps[step];
  for (int64_t j = 0; j < samples; ++j) {
    const Sample sample{prompts_[static_cast<size_t>(j % prompts)], seen + j / prompts,
                        values.as<float>() + (batched ? j * size : 0), size / channels, channels};
    add_rows(stats, step, sample);
    add_moment_rows(value, step, sample);
  }
  seen += samples / prompts;
}

void Collector::add_rows(StepStats& stats, int step, const Sample& sample) {
  if (stats.rows.limit() != stats_.sampling.rows) stats.rows = RowSample(stats_.sampling.rows);
  const uint64_t key = key_of(kSampled, sample.prompt, sample.occurrence, step);
  for (int64_t r = 0; r < sample.rows; ++r) {
    const uint64_t hash = mix(key, static_cast<uint64_t>(r));
    const float* row = sample.data + r * sample.channels;
    if (stats.rows.wants(hash) && is_usable(row, sample.channels)) {
      stats.rows.offer(hash, row, sample.channels);
    }
  }
}

// One row of every run of `moment_stride`.
void Collector::add_moment_rows(const std::string& value, int step, const Sample& sample) {
  const int64_t stride = stats_.sampling.moment_stride;
  if (stride == 0) return;
  const uint64_t key = key_of(kMoment, sample.prompt, sample.occurrence, step);
  std::vector<float>& pending = pending_[{value, sample.prompt}];
  for (int64_t first = 0; first < sample.rows; first += stride) {
    const auto length = static_cast<uint64_t>(std::min(stride, sample.rows - first));
    const auto pick = static_cast<int64_t>(mix(key, static_cast<uint64_t>(first)) % length);
    const float* row = sample.data + (first + pick) * sample.channels;
    if (!is_usable(row, sample.channels)) continue;
    pending.insert(pending.end(), row, row + sample.channels);
    if (static_cast<int64_t>(pending.size()) == SecondMoment::kBlockRows * sample.channels) {
      flush(value, pending, sample.channels);
    }
  }
}

void Collector::flush(const std::string& value, std::vector<float>& pending, int64_t channels) {
  if (pending.empty()) return;
  SecondMoment& moment = stats_.inputs[value].moment;
  if (moment.channels() == 0) moment = SecondMoment(channels);
  moment.add(pending.data(), static_cast<int64_t>(pending.size()) / channels);
  pending.clear();
}

void Collector::finish() {
  for (auto& [key, pending] : pending_) {
    flush(key.first, pending, stats_.inputs[key.first].channels());
  }
  pending_.clear();
}

}  // namespace octavo
