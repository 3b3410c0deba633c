#include "sample/pipeline.h"

#include <array>
#include <chrono>

#include "base/check.h"
#include "base/interrupt.h"
#include "base/text.h"
#include "sample/flux_bytes.h"

namespace octavo {
namespace {

struct Row {
  const char* class_name;
  std::unique_ptr<Pipeline> (*make)(const ModelSource& model, const PipelineOptions& options);
};

constexpr std::array kPipelines = {Row{"FluxBytesPipeline", make_flux_bytes}};

Tensor step_by_step(Pipeline& pipeline, const Tensor& noise, const Pipeline::Trace& trace) {
  Tensor latents = noise;
  for (int k = 0; k < pipeline.steps(); ++k) {
    check_interrupt();
    const Tensor v = pipeline.velocity(k, latents);
    latents = pipeline.advance(k, latents, v);
    trace(k, v, latents);
  }
  return latents;
}

}  // namespace

Tensor Pipeline::denoise(const Conditioning& conditioning, const Tensor& noise,
                         const Trace& trace) {
  begin(conditioning);
  return trace ? step_by_step(*this, noise, trace) : loop(noise);
}

Tensor Pipeline::loop(const Tensor& noise, const StepDone& done) {
  return step_by_step(*this, noise, [&](int k, const Tensor&, const Tensor&) {
    if (done) done(k);
  });
}

std::vector<double> Pipeline::time_loops(const Tensor& noise, int times) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  for (int i = 0; i < times; ++i) {
    const auto start = Clock::now();
    loop(noise);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count() / steps());
  }
  return seconds;
}

std::unique_ptr<Pipeline> make_pipeline(const ModelSource& model, const PipelineOptions& options) {
  const Config config = model.pipeline();
  const std::string wanted = config.get_string("_class_name");
  std::string known;
  for (const Row& row : kPipelines) {
    if (wanted == row.class_name) return row.make(model, options);
    known += (known.empty() ? "" : ", ") + std::string(row.class_name);
  }
  OCTAVO_FAIL(unsupported, "{}: pipeline class \"{}\" is not known here; known classes: {}",
              config.where(), printable(wanted), known);
}

}  // namespace octavo
