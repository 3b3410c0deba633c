#pragma once
#include "sample/pipeline.h"

namespace octavo {

// "FluxBytesPipeline" of pipeline.json: a Flux transformer over 2x2-packed latents, text as UTF-8
// bytes through a T5 encoder, Euler steps of flow matching, true classifier-free guidance against
// the empty prompt. zoo/reference.py is the definition of its arithmetic:
//   states zeroed at padding, pooled = their mean over real positions
//   sigma_k = 1 - k / steps, shifted; the model's timestep is sigma
//   v = v_u + guidance (v_c - v_u); without guidance (1) v = v_c and nothing else runs
//   picture = clamp(vae.decode(z / scaling_factor + shift_factor), -1, 1)
// Each distinct prompt is encoded, and each picture decoded, on its own.
std::unique_ptr<Pipeline> make_flux_bytes(const ModelSource& model, const PipelineOptions& options);

}  // namespace octavo
