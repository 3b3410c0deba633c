#pragma once
#include "sample/flow_match_euler.h"
#include "sample/pipeline.h"

namespace octavo {

// What pipeline.json and the parts' configs say, checked against each other: Error{bad_file} names
// file, key, value and what is expected.
struct FluxBytesSettings {
  int64_t text_length, text_dim;
  int steps;
  double guidance;  // 1: none
  FlowMatchSchedule schedule;
  int64_t size;                          // of the picture, a side
  int64_t latent_size, latent_channels;  // of the autoencoder's latent
  float scaling_factor, shift_factor;

  int64_t grid() const { return latent_size / 2; }  // tokens a side
};

FluxBytesSettings read_flux_bytes(const ModelSource& model, const PipelineOptions& options);

}  // namespace octavo
