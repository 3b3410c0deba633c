#pragma once
// Text -> picture as the model's own pipeline defines it. One pipeline class a file; pipeline.cc
// holds the table. All stages are separate so that calibration and judging can drive them.
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/model_source.h"
#include "run/component.h"

namespace octavo {

struct PipelineOptions {
  ComponentOptions component;  // compute type, hoisting, plan options
  // Globs "component/value" whose values an observer wants to see.
  std::vector<std::string> taps;
  int steps = 0;         // 0: the pipeline's own
  double guidance = -1;  // < 0: the pipeline's own true_cfg_scale
};

// Text states and pooled vector of a batch of prompts, with the unconditional ones behind.
struct Conditioning {
  TensorMap tensors;
  int64_t batch = 0;
};

// What the observer is told: component, value name, denoising step (-1 outside the loop), data.
using PipelineObserver = std::function<void(const std::string& component, const std::string& value,
                                            int step, const Tensor& tensor)>;

class Pipeline {
 public:
  virtual ~Pipeline() = default;
  virtual int steps() const = 0;
  virtual const std::vector<float>& sigmas() const = 0;  // steps + 1 values
  virtual Shape latent_shape() const = 0;                // of one sample, as the model takes it
  virtual Conditioning encode(const std::vector<std::string>& prompts) = 0;
  // Prepares request-, schedule- and trajectory-rate parts. Latents given later have this batch.
  virtual void begin(const Conditioning& conditioning) = 0;
  // Guided model output (velocity) at step k for latents [n, ...]; f32.
  virtual Tensor velocity(int k, const Tensor& latents) = 0;
  // One sampler step: latents after step k from velocity.
  virtual Tensor advance(int k, const Tensor& latents, const Tensor& velocity) = 0;
  // x0 = x - sigma_k v, the picture that step k points at, still a latent.
  virtual Tensor predict_x0(int k, const Tensor& latents, const Tensor& velocity) = 0;
  virtual Tensor decode(const Tensor& latents) = 0;  // [n, 3, H, W] f32 in [-1, 1]
  virtual void set_observer(PipelineObserver observer) = 0;
  // Components by name ("transformer", "text_encoder", "vae"), for bench and attestation.
  virtual std::vector<std::pair<std::string, Component*>> components() = 0;

  // All steps after begin(): the latents that velocity() and advance() give, bit for bit. On a
  // device they stay there in between. `done`, if given, is called after every step.
  using StepDone = std::function<void(int)>;
  virtual Tensor loop(const Tensor& noise, const StepDone& done = nullptr);
  // Seconds that a step of such loops takes, a figure a loop: on a device by its own clock.
  virtual std::vector<double> time_loops(const Tensor& noise, int times);

  // begin + all steps; trace, if given, is called after every step with (k, velocity, latents).
  using Trace = std::function<void(int, const Tensor& velocity, const Tensor& latents)>;
  Tensor denoise(const Conditioning& conditioning, const Tensor& noise,
                 const Trace& trace = nullptr);
};

// By pipeline.json's _class_name; Error lists the classes known here.
std::unique_ptr<Pipeline> make_pipeline(const ModelSource& model, const PipelineOptions& options);

}  // namespace octavo
