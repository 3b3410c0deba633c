#include "sample/pipeline.h"

#include <array>

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

}  // namespace

Tensor Pipeline::denoise(const Conditioning& conditioning, const Tensor& noise,
                         const Trace& trace) {
  begin(conditioning);
  Tensor latents = noise;
  for (int k = 0; k < steps(); ++k) {
    check_interrupt();
    const Tensor v = velocity(k, latents);
    latents = advance(k, latents, v);
    if (trace) trace(k, v, latents);
  }
  return latents;
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
