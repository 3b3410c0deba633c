#pragma once
#include <optional>
#include <string>
#include <vector>

#include "models/random_store.h"
#include "run/component.h"

namespace octavo::cli {

struct RandomBench {
  std::string model, precision, compute, device, json;
  std::vector<std::string> extents;
  int batch, runs, rows;
};
// octavo bench NAME --random: one transformer of a published model's size.
void bench_random(const RandomBench& o);

// "f32" and "bf16" are arithmetic over weights of that type; else a scheme over bf16, or what
// --compute says, with attention's behind a plus ("fp8+attn-fp8").
struct RandomArithmetic {
  DType compute;
  std::optional<Scheme> scheme;
  std::optional<AttentionScheme> attention;
};
RandomArithmetic read_precision(const std::string& name, const std::string& compute);

// B, and S and T of words such as "S=4096"; without them those of a picture of 1024 x 1024.
Bindings read_extents(const std::vector<std::string>& words, int64_t batch);

// Normal values for latents and text states, positions of a square picture, mid-schedule times.
struct RandomInputs {
  TensorMap request, step;
  std::vector<TensorMap> schedule;
};
RandomInputs make_inputs(const Graph& graph, const Bindings& extents);

}  // namespace octavo::cli
