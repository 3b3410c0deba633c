#include "sample/flux_bytes.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/glob.h"
#include "base/interrupt.h"
#include "models/models.h"
#include "sample/byte_tokenizer.h"
#include "sample/flux_bytes_settings.h"
#include "sample/flux_latents.h"

namespace octavo {
namespace {

// The transformer's latents in and velocity out.
constexpr const char *kState = "hidden_states", *kSlope = "sample";

// Of "component/value" patterns, those that concern a component, without its name.
std::vector<std::string> taps_of(const std::vector<std::string>& patterns,
                                 const std::string& component) {
  std::vector<std::string> result;
  for (const std::string& pattern : patterns) {
    const size_t slash = pattern.find('/');
    OCTAVO_CHECK(slash != std::string::npos, "tap \"{}\" is not of the form component/value",
                 pattern);
    if (glob_match(pattern.substr(0, slash), component)) {
      result.push_back(pattern.substr(slash + 1));
    }
  }
  return result;
}

Component load(const ModelSource& model, const PipelineOptions& options, const char* component,
               const char* method) {
  const Config config = model.config(component);
  const auto weights = model.weights(component);
  check_finite(*weights);
  ComponentOptions own = options.component;
  own.taps = taps_of(options.taps, component);
  return {find_family(config).build(config, weights.get(), method), std::move(own)};
}

// Copies row `from` of a tensor over row `to` of another with rows of the same size.
void copy_row(const Tensor& source, int64_t from, Tensor& target, int64_t to) {
  const size_t bytes = source.rows(from, from + 1).bytes();
  std::memcpy(static_cast<char*>(target.mutable_data()) + static_cast<size_t>(to) * bytes,
              source.as<char>() + static_cast<size_t>(from) * bytes, bytes);
}

Tensor filled(int64_t n, float value) {
  return Tensor::from(std::vector<float>(static_cast<size_t>(n), value), {n});
}

class FluxBytes : public Pipeline {
 public:
  FluxBytes(const ModelSource& model, const PipelineOptions& options)
      : s_(read_flux_bytes(model, options)),
        transformer_(load(model, options, "transformer", "forward")),
        text_encoder_(load(model, options, "text_encoder", "forward")),
        vae_(load(model, options, "vae", "decode")) {}

  int steps() const override { return s_.steps; }
  const std::vector<float>& sigmas() const override { return s_.schedule.sigmas; }
  Shape latent_shape() const override { return {s_.grid() * s_.grid(), 4 * s_.latent_channels}; }

  Conditioning encode(const std::vector<std::string>& prompts) override;
  void begin(const Conditioning& conditioning) override;
  Tensor velocity(int k, const Tensor& latents) override;
  Tensor advance(int k, const Tensor& latents, const Tensor& v) override {
    return flow_match_step(s_.schedule, static_cast<size_t>(k), latents, v);
  }
  Tensor loop(const Tensor& noise, const StepDone& done) override;
  std::vector<double> time_loops(const Tensor& noise, int times) override;
  Tensor predict_x0(int k, const Tensor& latents, const Tensor& v) override {
    return flow_match_x0(s_.schedule, static_cast<size_t>(k), latents, v);
  }
  Tensor decode(const Tensor& latents) override;

  void set_observer(PipelineObserver observer) override { observer_ = std::move(observer); }
  std::vector<std::pair<std::string, Component*>> components() override {
    return {{"transformer", &transformer_}, {"text_encoder", &text_encoder_}, {"vae", &vae_}};
  }

 private:
  struct Text {
    Tensor states, pooled;  // [1, length, dim], [1, dim]
  };

  Tensor model_input(const Tensor& latents) const;
  EulerLoop euler_loop() const;
  bool loops_on_device() const { return transformer_.can_loop() && !observer_; }
  bool guided() const { return s_.guidance != 1; }
  Text encode_one(const std::string& prompt);
  const Text& encoded(const std::string& prompt, std::map<std::string, Text>& known);
  Observer observer_of(const char* component, int step) const;
  void check_latents(const Tensor& latents, int64_t batch) const;

  FluxBytesSettings s_;
  Component transformer_, text_encoder_, vae_;
  PipelineObserver observer_;
  std::optional<Text> empty_prompt_;
  int64_t batch_ = 0;  // of the last begin()
};

Observer FluxBytes::observer_of(const char* component, int step) const {
  if (!observer_) return nullptr;
  return [this, component, step](const std::string& value, const Tensor& tensor) {
    observer_(component, value, step, tensor);
  };
}

FluxBytes::Text FluxBytes::encode_one(const std::string& prompt) {
  const ByteTokens tokens = tokenize_bytes({prompt}, s_.text_length);
  const int64_t real = tokens.lengths[0], dim = s_.text_dim;
  Tensor mask = Tensor::zeros(DType::i64, {1, s_.text_length});
  std::fill_n(mask.as_mutable<int64_t>(), real, 1);
  const TensorMap outputs = text_encoder_.run({{"input_ids", tokens.ids}, {"attention_mask", mask}},
                                              observer_of("text_encoder", -1));
  Text text{outputs.at("last_hidden_state").clone(), Tensor::empty(DType::f32, {1, dim})};
  float* states = text.states.as_mutable<float>();
  std::fill(states + real * dim, states + s_.text_length * dim, 0.0f);
  for (int64_t c = 0; c < dim; ++c) {
    double sum = 0;
    for (int64_t t = 0; t < real; ++t) sum += states[t * dim + c];
    text.pooled.as_mutable<float>()[c] = static_cast<float>(sum / static_cast<double>(real));
  }
  return text;
}

const FluxBytes::Text& FluxBytes::encoded(const std::string& prompt,
                                          std::map<std::string, Text>& known) {
  const auto found = known.find(prompt);
  if (found != known.end()) return found->second;
  // The empty prompt comes with every batch; observers see it each time.
  if (!prompt.empty() || observer_) return known[prompt] = encode_one(prompt);
  if (!empty_prompt_) empty_prompt_ = encode_one(prompt);
  return known[prompt] = *empty_prompt_;
}

Conditioning FluxBytes::encode(const std::vector<std::string>& prompts) {
  OCTAVO_CHECK(!prompts.empty(), "no prompts to encode");
  const auto n = static_cast<int64_t>(prompts.size());
  const int64_t rows = guided() ? 2 * n : n;
  Tensor states = Tensor::empty(DType::f32, {rows, s_.text_length, s_.text_dim});
  Tensor pooled = Tensor::empty(DType::f32, {rows, s_.text_dim});
  std::map<std::string, Text> known;
  for (int64_t i = 0; i < rows; ++i) {
    const Text& text = encoded(i < n ? prompts[static_cast<size_t>(i)] : "", known);
    copy_row(text.states, 0, states, i);
    copy_row(text.pooled, 0, pooled, i);
  }
  return {{{"encoder_hidden_states", states}, {"pooled_projections", pooled}}, n};
}

void FluxBytes::begin(const Conditioning& conditioning) {
  TensorMap request = conditioning.tensors;
  const auto states = request.find("encoder_hidden_states");
  OCTAVO_CHECK(states != request.end() && conditioning.batch > 0,
               "begin() with a conditioning that encode() did not make");
  const int64_t rows = states->second.dim(0);
  OCTAVO_CHECK(rows == (guided() ? 2 : 1) * conditioning.batch,
               "begin() with {} rows of text states for a batch of {}, expected {}", rows,
               conditioning.batch, (guided() ? 2 : 1) * conditioning.batch);
  request["txt_ids"] = Tensor::zeros(DType::f32, {s_.text_length, 3});
  request["img_ids"] = grid_ids(s_.grid(), s_.grid());
  std::vector<TensorMap> schedule;
  for (int k = 0; k < s_.steps; ++k) {
    schedule.push_back({{"timestep", filled(rows, s_.schedule.sigmas[static_cast<size_t>(k)])}});
  }
  transformer_.begin(request, schedule);
  batch_ = conditioning.batch;
}

void FluxBytes::check_latents(const Tensor& latents, int64_t batch) const {
  Shape expected = latent_shape();
  expected.insert(expected.begin(), batch);
  OCTAVO_CHECK(latents.dtype() == DType::f32 && latents.shape() == expected,
               "latents are {}{}, expected f32{}", name(latents.dtype()),
               to_string(latents.shape()), to_string(expected));
}

// The latents; with guidance twice, for the prompts and without them.
Tensor FluxBytes::model_input(const Tensor& latents) const {
  if (!guided()) return latents;
  Shape shape = latents.shape();
  shape[0] *= 2;
  Tensor twice = Tensor::empty(DType::f32, shape);
  for (int half = 0; half < 2; ++half) {
    std::memcpy(twice.as_mutable<char>() + static_cast<size_t>(half) * latents.bytes(),
                latents.data(), latents.bytes());
  }
  return twice;
}

EulerLoop FluxBytes::euler_loop() const {
  EulerLoop loop{kState, kSlope, flow_match_factors(s_.schedule), {}};
  if (guided()) loop.guidance = static_cast<float>(s_.guidance);
  return loop;
}

Tensor FluxBytes::loop(const Tensor& noise, const StepDone& done) {
  if (!loops_on_device()) return Pipeline::loop(noise, done);
  OCTAVO_CHECK(batch_ > 0, "loop() before begin()");
  check_latents(noise, batch_);
  const Tensor result =
      transformer_.loop(euler_loop(), {{kState, model_input(noise)}}, [&](size_t k) {
        check_interrupt();
        if (done) done(static_cast<int>(k));
      });
  return result.rows(0, batch_);
}

std::vector<double> FluxBytes::time_loops(const Tensor& noise, int times) {
  if (!loops_on_device()) return Pipeline::time_loops(noise, times);
  std::vector<double> seconds =
      transformer_.time_loops(euler_loop(), {{kState, model_input(noise)}}, times);
  for (double& each : seconds) each /= s_.steps;
  return seconds;
}

Tensor FluxBytes::velocity(int k, const Tensor& latents) {
  OCTAVO_CHECK(batch_ > 0, "velocity() before begin()");
  OCTAVO_CHECK(k >= 0 && k < s_.steps, "step {} of a schedule of {}", k, s_.steps);
  check_latents(latents, batch_);
  const Tensor both = transformer_.step(static_cast<size_t>(k), {{kState, model_input(latents)}},
                                        observer_of("transformer", k))[kSlope];
  if (!guided()) return both;
  Tensor v = Tensor::empty(DType::f32, latents.shape());
  const auto guidance = static_cast<float>(s_.guidance);
  const int64_t n = v.elements();
  const float *conditional = both.as<float>(), *unconditional = conditional + n;
  float* out = v.as_mutable<float>();
  for (int64_t i = 0; i < n; ++i) {
    out[i] = unconditional[i] + guidance * (conditional[i] - unconditional[i]);
  }
  return v;
}

Tensor FluxBytes::decode(const Tensor& latents) {
  check_latents(latents, latents.rank() > 0 ? latents.dim(0) : 0);
  const int64_t n = latents.dim(0);
  Tensor pictures = Tensor::empty(DType::f32, {n, 3, s_.size, s_.size});
  for (int64_t i = 0; i < n; ++i) {
    const Tensor z = unpack_latents(latents.rows(i, i + 1), s_.latent_size, s_.latent_size,
                                    s_.scaling_factor, s_.shift_factor);
    const Tensor picture = vae_.run({{"z", z}}, observer_of("vae", -1)).at("sample");
    copy_row(picture, 0, pictures, i);
  }
  float* values = pictures.as_mutable<float>();
  for (int64_t i = 0; i < pictures.elements(); ++i) values[i] = std::clamp(values[i], -1.0f, 1.0f);
  return pictures;
}

}  // namespace

std::unique_ptr<Pipeline> make_flux_bytes(const ModelSource& model,
                                          const PipelineOptions& options) {
  return std::make_unique<FluxBytes>(model, options);
}

}  // namespace octavo
