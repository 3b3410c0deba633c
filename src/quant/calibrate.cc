#include "quant/calibrate.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/check.h"
#include "base/hash.h"
#include "base/progress.h"
#include "base/text.h"
#include "quant/collector.h"
#include "quant/watches.h"
#include "sample/rng.h"

namespace octavo {
namespace {

std::vector<std::string> chosen_components(const ModelSource& model,
                                           const std::vector<std::string>& wanted) {
  const std::vector<std::string> all = model.components();
  for (const std::string& name : wanted) {
    OCTAVO_CHECK(std::find(all.begin(), all.end(), name) != all.end(),
                 "{} has no component \"{}\"; it has {}", model.where(), printable(name),
                 fmt::join(all, ", "));
  }
  return wanted.empty() ? all : wanted;
}

// A batch of one prompt each, as encode() gives one of many: the prompts, then the unconditional.
Conditioning join(const std::vector<Conditioning>& parts) {
  Conditioning joined = parts.front();
  joined.batch = static_cast<int64_t>(parts.size());
  for (auto& [name, tensor] : joined.tensors) {
    const int64_t halves = tensor.dim(0);
    Shape shape = tensor.shape();
    shape[0] *= joined.batch;
    tensor = Tensor::empty(tensor.dtype(), shape);
    char* place = tensor.as_mutable<char>();
    for (int64_t half = 0; half < halves; ++half) {
      for (const Conditioning& part : parts) {
        const Tensor row = part.tensors.at(name).rows(half, half + 1);
        std::memcpy(place, row.data(), row.bytes());
        place += row.bytes();
      }
    }
  }
  return joined;
}

// Everything one calibration is made of; runs batch after batch, pass after pass.
class Calibration {
 public:
  Calibration(const ModelSource& model, const CalibrateOptions& options)
      : options_(options),
        components_(chosen_components(model, options.components)),
        watches_(find_watches(model, components_)),
        collector_(stats_, watches_) {
    check_options();
    PipelineOptions pipeline;
    pipeline.component.plan.device = options.device;
    pipeline.component.compute = options.compute;
    pipeline.steps = options.steps;
    for (const auto& [value, watched] : watches_) pipeline.taps.push_back(value);
    pipeline_ = make_pipeline(model, pipeline);
    pipeline_->set_observer(
        [this](const std::string& component, const std::string& value, int step,
               const Tensor& tensor) { collector_.see(component + "/" + value, step, tensor); });
    stats_.model_hash = model.hash();
    stats_.schedule = schedule_text(model);
    stats_.sampling = options.sampling;
    passes_ = plan_passes(watches_, options.sampling, pipeline_->steps(), options.memory);
    for (size_t i = 0; i < options.prompts.size(); ++i) keys_.push_back(key(i));
    vae_ = name_of(model, "vae");
    check_keys();
  }

  Stats run() {
    resume();
    const size_t n = options_.prompts.size();
    Progress progress("calibrate", static_cast<int64_t>(n * passes_.size()), "prompts");
    for (; pass_ < passes_.size(); next_pass()) {
      collector_.select(pass_ == 0, passes_[pass_]);
      run_pass(progress);
    }
    progress.finish();
    return std::move(stats_);
  }

 private:
  void check_options() const {
    OCTAVO_CHECK(!options_.prompts.empty(), "calibration needs at least one prompt");
    OCTAVO_CHECK(options_.batch >= 1, "calibration batch is {}; expected 1 or more",
                 options_.batch);
    OCTAVO_CHECK(options_.sampling.rows >= 0 && options_.sampling.moment_stride >= 0,
                 "calibration is told to keep {} rows a step and one row in {} for second moments; "
                 "expected 0 or more",
                 options_.sampling.rows, options_.sampling.moment_stride);
    for (size_t i = 0; i < options_.prompts.size(); ++i) {
      OCTAVO_CHECK(valid_utf8(options_.prompts[i]), "calibration prompt {} \"{}\" is not UTF-8", i,
                   printable(options_.prompts[i]));
    }
  }

  void check_keys() const {
    std::set<std::string> seen;
    for (const std::string& each : keys_) {
      OCTAVO_CHECK(seen.insert(each).second, "'{}' (noise:prompt) is given twice", printable(each));
    }
    OCTAVO_CHECK(passes_.size() == 1 || !options_.checkpoint.empty(),
                 "rows and second moments need {} passes to fit in {} bytes, and several passes "
                 "need a checkpoint file; allow more memory or keep fewer rows",
                 passes_.size(), options_.memory);
  }

  // The component of a role if it is to be calibrated, else empty.
  std::string name_of(const ModelSource& model, std::string_view role) const {
    for (const std::string& name : components_) {
      if (std::string_view(find_family(model.config(name)).role) == role) return name;
    }
    return {};
  }

  std::string schedule_text(const ModelSource& model) const {
    Json json = model.pipeline().json();
    json["steps_run"] = pipeline_->steps();
    json["components"] = components_;
    const std::vector<float>& sigmas = pipeline_->sigmas();
    json["timesteps"] = std::vector<float>(sigmas.begin(), sigmas.end() - 1);
    if (options_.compute != DType::f32) json["compute"] = name(options_.compute);
    return json.dump();
  }

  Tensor noise_of(size_t i) const {
    Shape shape = pipeline_->latent_shape();
    shape.insert(shape.begin(), 1);
    if (!options_.noise.has_data()) return randn(RngKind::torch, options_.seed + i, shape);
    const int64_t row = static_cast<int64_t>(i);
    Shape expected = shape;
    expected[0] = static_cast<int64_t>(options_.prompts.size());
    OCTAVO_CHECK(options_.noise.shape() == expected && options_.noise.dtype() == DType::f32,
                 "calibration noise is {} {}; expected f32 {}", name(options_.noise.dtype()),
                 to_string(options_.noise.shape()), to_string(expected));
    return options_.noise.rows(row, row + 1);
  }

  // "seed:prompt"; given noise stands by its hash.
  std::string key(size_t i) const {
    if (!options_.noise.has_data()) {
      return fmt::format("{}:{}", options_.seed + i, options_.prompts[i]);
    }
    const Tensor noise = noise_of(i);
    const std::string_view bytes(noise.as<char>(), noise.bytes());
    return fmt::format("noise {}:{}", hash_hex(bytes), options_.prompts[i]);
  }

  std::vector<std::string>& done() {
    return stats_.unfinished ? stats_.unfinished->prompts : stats_.prompts;
  }

  void run_pass(Progress& progress) {
    const size_t n = options_.prompts.size(), batch = static_cast<size_t>(options_.batch);
    for (size_t begin = 0; begin < n; begin += batch) {
      const size_t end = std::min(n, begin + batch);
      std::vector<size_t> todo;
      for (size_t i = begin; i < end; ++i) {
        if (!std::binary_search(done().begin(), done().end(), keys_[i])) todo.push_back(i);
      }
      if (!todo.empty()) run_batch(todo);
      progress.step(static_cast<int64_t>(end - begin));
    }
    if (done_since_save_ > 0) save_checkpoint();
  }

  // What has been gathered goes to the file, and stays there until it is used.
  void next_pass() {
    if (++pass_ == passes_.size()) {
      stats_.unfinished.reset();
    } else {
      stats_.unfinished->pass = static_cast<int64_t>(pass_);
      stats_.unfinished->prompts.clear();
    }
    if (passes_.size() == 1) return;
    stats_.save(options_.checkpoint);
    stats_ = Stats::load(options_.checkpoint);
  }

  // The statistics of a batch that is broken off are lost: they go on from the checkpoint.
  void run_batch(const std::vector<size_t>& todo) {
    Shape shape = pipeline_->latent_shape();
    shape.insert(shape.begin(), static_cast<int64_t>(todo.size()));
    Tensor noise = Tensor::empty(DType::f32, shape);
    char* place = noise.as_mutable<char>();
    std::vector<Conditioning> parts;
    std::vector<uint64_t> hashes;
    for (const size_t i : todo) {
      hashes.push_back(hash64(keys_[i]));
      collector_.begin({hashes.back()});
      parts.push_back(pipeline_->encode({options_.prompts[i]}));
      const Tensor row = noise_of(i);
      std::memcpy(place, row.data(), row.bytes());
      place += row.bytes();
    }
    collector_.begin(hashes);
    const Tensor latents = pipeline_->denoise(join(parts), noise);
    for (size_t k = 0; decodes() && k < todo.size(); ++k) {
      collector_.begin({hashes[k]});
      pipeline_->decode(latents.rows(static_cast<int64_t>(k), static_cast<int64_t>(k) + 1));
    }
    collector_.finish();
    for (const size_t i : todo) add_done(keys_[i]);
    done_since_save_ += todo.size();
    if (saving_is_cheap()) save_checkpoint();
  }

  bool decodes() const {
    const std::set<std::string>& heavy = passes_[pass_];
    return !vae_.empty() &&
           (pass_ == 0 || std::any_of(heavy.begin(), heavy.end(), [&](const std::string& value) {
              return value.starts_with(vae_ + "/");
            }));
  }

  void add_done(const std::string& prompt) {
    const auto add = [&](std::vector<std::string>& prompts) {
      prompts.insert(std::upper_bound(prompts.begin(), prompts.end(), prompt), prompt);
    };
    if (stats_.unfinished) add(stats_.unfinished->prompts);
    if (pass_ == 0) add(stats_.prompts);
  }

  // At most a thirtieth of the time goes into checkpoints.
  bool saving_is_cheap() const {
    constexpr int kShare = 30;
    return Clock::now() - saved_at_ > kShare * save_time_;
  }

  void save_checkpoint() {
    if (options_.checkpoint.empty()) return;
    const auto start = Clock::now();
    stats_.save(options_.checkpoint);
    saved_at_ = Clock::now();
    save_time_ = saved_at_ - start;
    done_since_save_ = 0;
  }

  void resume() {
    if (passes_.size() > 1) stats_.unfinished = Unfinished{options_.memory, 0, {}};
    if (options_.checkpoint.empty() || !std::filesystem::exists(options_.checkpoint)) return;
    Stats saved = Stats::load(options_.checkpoint);
    const std::string path = options_.checkpoint.string();
    OCTAVO_CHECK(saved.model_hash == stats_.model_hash && saved.schedule == stats_.schedule,
                 "{} is of another calibration: model {} with {}, here model {} with {}; remove it "
                 "or finish that calibration first",
                 path, saved.model_hash, saved.schedule, stats_.model_hash, stats_.schedule);
    OCTAVO_CHECK(saved.sampling == stats_.sampling,
                 "{} is of another calibration: it keeps {} rows a step and one row in {} for "
                 "second moments, here {} and {}; remove it or finish that calibration first",
                 path, saved.sampling.rows, saved.sampling.moment_stride, stats_.sampling.rows,
                 stats_.sampling.moment_stride);
    for (const std::string& prompt : saved.prompts) {
      OCTAVO_CHECK(std::find(keys_.begin(), keys_.end(), prompt) != keys_.end(),
                   "{} is of another calibration: it holds '{}' (seed:prompt), which is not among "
                   "these prompts; remove it or finish that calibration first",
                   path, printable(prompt));
    }
    resume_pass(saved);
    stats_ = std::move(saved);
  }

  void resume_pass(const Stats& saved) {
    const bool complete = !saved.unfinished && saved.prompts.size() == keys_.size();
    if (complete) {
      pass_ = passes_.size();
      return;
    }
    const int64_t memory = saved.unfinished ? saved.unfinished->memory : 0;
    OCTAVO_CHECK(saved.unfinished.has_value() == stats_.unfinished.has_value() &&
                     (!saved.unfinished || memory == options_.memory),
                 "{} is of a calibration in {}, here {} bytes are allowed for {} passes; give the "
                 "same memory, or remove it",
                 options_.checkpoint.string(),
                 saved.unfinished ? fmt::format("several passes of {} bytes", memory) : "one pass",
                 options_.memory, passes_.size());
    if (!saved.unfinished) return;
    pass_ = static_cast<size_t>(saved.unfinished->pass);
    OCTAVO_CHECK(pass_ < passes_.size(), "{} is in pass {} of {}; remove it",
                 options_.checkpoint.string(), pass_ + 1, passes_.size());
  }

  using Clock = std::chrono::steady_clock;
  const CalibrateOptions& options_;
  std::vector<std::string> components_;
  std::map<std::string, Watched> watches_;
  Stats stats_;
  Collector collector_;
  std::unique_ptr<Pipeline> pipeline_;
  std::vector<std::set<std::string>> passes_;
  size_t pass_ = 0;
  std::vector<std::string> keys_;
  std::string vae_;  // the component to decode with, if it is calibrated
  size_t done_since_save_ = 0;
  Clock::time_point saved_at_ = Clock::now();
  Clock::duration save_time_{};
};

}  // namespace

Stats calibrate(const ModelSource& model, const CalibrateOptions& options) {
  OCTAVO_CHECK(model.recipe().empty(), "{} is quantized; calibrate the model it was made from",
               model.where());
  return Calibration(model, options).run();
}

std::vector<std::string> calibration_prompts(const ModelSource& model, size_t count) {
  const std::vector<std::string> known = model.prompts("known");
  OCTAVO_CHECK(
      !known.empty(),
      "{} comes without prompts (prompts.txt) to calibrate on; give some (octavo calibrate "
      "--prompts FILE)",
      model.where());
  if (known.size() <= count) return known;
  std::vector<std::string> chosen;
  for (size_t i = 0; i < count; ++i) chosen.push_back(known[i * known.size() / count]);
  return chosen;
}

}  // namespace octavo
