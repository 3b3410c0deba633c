#include "common.h"

#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/text.h"
#include "quant/calibrate.h"
#include "quant/quantize_model.h"

namespace octavo::cli {

namespace fs = std::filesystem;

std::vector<std::string> read_prompts(const fs::path& file) {
  constexpr size_t kLongest = 64 << 10;
  const std::string text = read_file(file, size_t{64} << 20);
  std::vector<std::string> prompts;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    OCTAVO_CHECK_FILE(line.size() <= kLongest,
                      "{}:{}: a prompt of {} bytes; at most {} are allowed", file.string(), number,
                      line.size(), kLongest);
    OCTAVO_CHECK_FILE(valid_utf8(line), "{}:{}: the prompt is not valid UTF-8", file.string(),
                      number);
    if (!line.empty()) prompts.push_back(line);
  }
  OCTAVO_CHECK_FILE(!prompts.empty(), "{}: no prompts; write one a line", file.string());
  return prompts;
}

void add_device_option(CLI::App& verb, std::string& device) {
  verb.add_option("--device", device, "Where to run: cpu, cuda or cuda:N (see octavo --help)")
      ->capture_default_str();
}

DType parse_compute(const std::string& name) {
  if (name == "f32") return DType::f32;
  if (name == "bf16") return DType::bf16;
  OCTAVO_FAIL(invalid_argument, "compute type '{}' is not f32 or bf16", name);
}

void add_compute_option(CLI::App& verb, std::string& compute, const std::string& otherwise) {
  verb.add_option("--compute", compute,
                  "f32 or bf16: arithmetic of what a scheme or an artifact does not quantize\n"
                  "(default: " +
                      otherwise +
                      "); on a GPU bf16 is much faster: --precision int8 --compute bf16");
}

namespace {

void check_same_pipeline(const ModelSource& model, const ModelSource& artifact) {
  OCTAVO_CHECK(model.pipeline().json() == artifact.pipeline().json(),
               "{} was made from another pipeline than {}: their pipeline.json differ",
               artifact.where(), model.where());
}

}  // namespace

Precision open_at_precision(const fs::path& path, const std::string& precision,
                            const std::string& compute) {
  const DType type = parse_compute(compute.empty() ? "f32" : compute);
  const auto model = open_model(path);
  if (precision.empty() || precision == "f32") return {model, type, std::string(name(type))};
  if (precision == "bf16") {
    OCTAVO_CHECK(compute.empty() || type == DType::bf16,
                 "--precision bf16 is arithmetic in bf16 and --compute says {}; leave one out",
                 compute);
    return {model, DType::bf16, "bf16"};
  }
  if (fs::exists(precision)) {
    const auto artifact = open_model(precision);
    check_same_pipeline(*model, *artifact);
    return {artifact, type, precision};
  }
  OCTAVO_CHECK_CODE(
      io, precision.find('/') == std::string::npos && !precision.ends_with(".safetensors"),
      "artifact {} does not exist; make it with: octavo quantize {} --scheme NAME -o {}", precision,
      path.string(), precision);
  const Recipe recipe = Recipe::for_scheme(precision, *model);
  if (!needs_statistics(recipe)) return {quantized_view(model, recipe, nullptr), type, precision};
  CalibrateOptions options;
  options.prompts = calibration_prompts(*model);
  const Stats stats = calibrate(*model, options);
  return {quantized_view(model, recipe, &stats), type, precision};
}

void check_output(const fs::path& file) {
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  OCTAVO_CHECK_CODE(io, fs::is_directory(folder), "output folder {} does not exist; make it first",
                    folder.string());
  OCTAVO_CHECK_CODE(io, access(folder.c_str(), W_OK) == 0, "output folder {} is not writable",
                    folder.string());
  OCTAVO_CHECK_CODE(io, !fs::is_directory(file), "output {} is a folder; name a file",
                    file.string());
}

std::vector<std::string> spread(const std::vector<std::string>& prompts, size_t count) {
  OCTAVO_CHECK(!prompts.empty(), "the model comes without prompts; give --prompts FILE");
  if (prompts.size() <= count) return prompts;
  std::vector<std::string> chosen;
  for (size_t i = 0; i < count; ++i) chosen.push_back(prompts[i * prompts.size() / count]);
  return chosen;
}

std::string human_bytes(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 1000 && unit < 4) {
    bytes /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 2, units[unit]);
}

std::string human_count(double count) {
  const char* units[] = {"", " k", " M", " G", " T", " P"};
  int unit = 0;
  while (count >= 1000 && unit < 5) {
    count /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f}{}", count, unit == 0 ? 0 : 2, units[unit]);
}

size_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

}  // namespace octavo::cli
