#include "quant/calibrate.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/check.h"
#include "base/hash.h"
#include "base/progress.h"
#include "base/text.h"
#include "sample/rng.h"

namespace octavo {
namespace {

// A value of a component's graph that layers take as their input.
struct Watched {
  std::vector<std::string> layers;  // "component/layer"
  int channel_axis;
};
// "component/value" ->
using Watches = std::map<std::string, Watched>;

Watches find_watches(const ModelSource& model, const std::vector<std::string>& components) {
  Watches watches;
  std::set<std::string> seen;
  for (const std::string& component : components) {
    const Config config = model.config(component);
    const Family& family = find_family(config);
    for (const char* method : family.methods) {
      for (const QuantizableLayer& layer :
           quantizable_layers(family.build(config, nullptr, method))) {
        const std::string full = component + "/" + layer.name;
        if (!seen.insert(full).second) continue;
        Watched& watched = watches[component + "/" + layer.input];
        watched.channel_axis = layer.op == Op::conv2d ? 1 : -1;
        watched.layers.push_back(full);
      }
    }
  }
  return watches;
}

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

// Everything one calibration is made of; runs batch after batch.
class Calibration {
 public:
  Calibration(const ModelSource& model, const CalibrateOptions& options)
      : options_(options),
        components_(chosen_components(model, options.components)),
        watches_(find_watches(model, components_)) {
    check_options();
    PipelineOptions pipeline;
    pipeline.component.plan.device = options.device;
    pipeline.component.compute = options.compute;
    pipeline.component.hoist = false;  // values of every rate are seen in every step
    pipeline.steps = options.steps;
    for (const auto& [value, watched] : watches_) pipeline.taps.push_back(value);
    pipeline_ = make_pipeline(model, pipeline);
    pipeline_->set_observer([this](const std::string& component, const std::string& value, int step,
                                   const Tensor& tensor) { see(component, value, step, tensor); });
    stats_.model_hash = model.hash();
    stats_.schedule = schedule_text(model);
    for (size_t i = 0; i < options.prompts.size(); ++i) keys_.push_back(key(i));
    decodes_ = std::any_of(components_.begin(), components_.end(), [&](const std::string& name) {
      return std::string_view(find_family(model.config(name)).role) == "vae";
    });
  }

  Stats run() {
    resume();
    const size_t n = options_.prompts.size(), batch = static_cast<size_t>(options_.batch);
    Progress progress("calibrate", static_cast<int64_t>(n), "prompts");
    for (size_t begin = 0; begin < n; begin += batch) {
      const size_t end = std::min(n, begin + batch);
      std::vector<size_t> todo;
      for (size_t i = begin; i < end; ++i) {
        if (!std::binary_search(stats_.prompts.begin(), stats_.prompts.end(), keys_[i])) {
          todo.push_back(i);
        }
      }
      if (!todo.empty()) run_batch(todo);
      progress.step(static_cast<int64_t>(end - begin));
    }
    progress.finish();
    return std::move(stats_);
  }

 private:
  void check_options() const {
    OCTAVO_CHECK(!options_.prompts.empty(), "calibration needs at least one prompt");
    OCTAVO_CHECK(options_.batch >= 1, "calibration batch is {}; expected 1 or more",
                 options_.batch);
    for (size_t i = 0; i < options_.prompts.size(); ++i) {
      OCTAVO_CHECK(valid_utf8(options_.prompts[i]), "calibration prompt {} \"{}\" is not UTF-8", i,
                   printable(options_.prompts[i]));
    }
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

  void see(const std::string& component, const std::string& value, int step, const Tensor& tensor) {
    const auto found = watches_.find(component + "/" + value);
    if (found == watches_.end()) return;
    batch_.inputs[found->first].steps[step].merge(observe(tensor, found->second.channel_axis));
    for (const std::string& layer : found->second.layers) batch_.layers[layer] = found->first;
  }

  // The batch counts only once it is complete.
  void run_batch(const std::vector<size_t>& todo) {
    batch_ = Stats{stats_.model_hash, stats_.schedule, {}, stats_.sampling, {}, {}};
    std::vector<std::string> prompts;
    Shape shape = pipeline_->latent_shape();
    shape.insert(shape.begin(), static_cast<int64_t>(todo.size()));
    Tensor noise = Tensor::empty(DType::f32, shape);
    char* place = static_cast<char*>(noise.mutable_data());
    for (const size_t i : todo) {
      prompts.push_back(options_.prompts[i]);
      batch_.prompts.push_back(keys_[i]);
      const Tensor row = noise_of(i);
      std::memcpy(place, row.data(), row.bytes());
      place += row.bytes();
    }
    std::sort(batch_.prompts.begin(), batch_.prompts.end());
    const Tensor latents = pipeline_->denoise(pipeline_->encode(prompts), noise);
    if (decodes_) pipeline_->decode(latents);
    stats_.merge(batch_);
    if (!options_.checkpoint.empty()) stats_.save(options_.checkpoint);
  }

  void resume() {
    if (options_.checkpoint.empty() || !std::filesystem::exists(options_.checkpoint)) return;
    Stats saved = Stats::load(options_.checkpoint);
    const std::string path = options_.checkpoint.string();
    OCTAVO_CHECK(saved.model_hash == stats_.model_hash && saved.schedule == stats_.schedule,
                 "{} is of another calibration: model {} with {}, here model {} with {}; remove it "
                 "or finish that calibration first",
                 path, saved.model_hash, saved.schedule, stats_.model_hash, stats_.schedule);
    for (const std::string& prompt : saved.prompts) {
      OCTAVO_CHECK(std::find(keys_.begin(), keys_.end(), prompt) != keys_.end(),
                   "{} is of another calibration: it holds '{}' (seed:prompt), which is not among "
                   "these prompts; remove it or finish that calibration first",
                   path, printable(prompt));
    }
    stats_ = std::move(saved);
  }

  const CalibrateOptions& options_;
  std::vector<std::string> components_;
  Watches watches_;
  std::unique_ptr<Pipeline> pipeline_;
  std::vector<std::string> keys_;
  bool decodes_ = false;
  Stats stats_, batch_;
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
