#pragma once
// What several verbs need: prompts, models at a precision, output paths.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "models/model_source.h"
#include "run/component.h"
#include "sample/pipeline.h"

namespace CLI {
class App;
}

namespace octavo::cli {

// One prompt a line ('#' is text, not a comment; empty lines are skipped). Error names file and
// line on invalid UTF-8 or lines over 64 KiB.
std::vector<std::string> read_prompts(const std::filesystem::path& file);

// A model and how to run it: "f32" and "bf16" are arithmetic over the model as it is; a scheme's
// name quantizes on the fly (static schemes calibrate first on the model's own prompts); anything
// else is the path of an artifact, which must hold the same pipeline.
struct Precision {
  std::shared_ptr<const ModelSource> model;
  DType compute = DType::f32;
  std::string name;
};
// `compute`, where given, is the arithmetic of everything that is not quantized: "f32" | "bf16".
// Error{invalid_argument} where it contradicts the precision.
Precision open_at_precision(const std::filesystem::path& model, const std::string& precision,
                            const std::string& compute = "");
DType parse_compute(const std::string& name);

// --compute f32|bf16, empty when it is not given; the help says what it is then.
void add_compute_option(CLI::App& verb, std::string& compute, const std::string& otherwise = "f32");

// --device cpu|cuda|cuda:N, the CPU when it is not given.
void add_device_option(CLI::App& verb, std::string& device);

// Error{io} at once, before long work, when the folder of an output is missing or not writable.
void check_output(const std::filesystem::path& file);

// Evenly spread selection of `count` of the model's own prompts of a set; Error when it has none.
std::vector<std::string> spread(const std::vector<std::string>& prompts, size_t count);

std::string human_bytes(double bytes);  // "18.2 MB"
std::string human_count(double count);  // "9.12 M", "59.5 G"
size_t peak_resident_bytes();           // of this process

}  // namespace octavo::cli
