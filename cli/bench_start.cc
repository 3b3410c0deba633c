#include "bench_start.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/check.h"
#include "bench_random.h"
#include "bench_table.h"
#include "common.h"
#include "kernels/upload.h"
#include "octavo/version.h"

namespace octavo::cli {
namespace {

namespace fs = std::filesystem;

// Seconds of one part of the start after the other.
class Laps {
 public:
  void end(const char* part) {
    const double now = seconds_since(start_);
    parts_.emplace_back(part, now - last_);
    last_ = now;
  }
  void pause() { paused_ = seconds_since(start_); }
  void resume() {
    last_ += seconds_since(start_) - paused_, left_out_ += seconds_since(start_) - paused_;
  }
  double total() const { return last_ - left_out_; }
  const std::vector<std::pair<std::string, double>>& parts() const { return parts_; }

 private:
  const Clock::time_point start_ = Clock::now();
  double last_ = 0, paused_ = 0, left_out_ = 0;
  std::vector<std::pair<std::string, double>> parts_;
};

struct Memory {
  size_t weights = 0, buffers = 0;  // buffers: activations, workspaces, inputs and outputs
};
Memory memory_of(const Component& model) {
  Memory memory;
  for (const auto& plan : model.plans()) {
    memory.buffers += plan->arena_bytes + plan->workspace_bytes;
    if (plan->device) memory.buffers += plan->device_io_bytes();
  }
  memory.weights = model.resident_bytes() - memory.buffers;
  return memory;
}

std::string only_component(const ModelSource& source) {
  const std::vector<std::string> names = source.components();
  OCTAVO_CHECK(names.size() == 1, "{}: --start takes a model of one component, this has {}: {}",
               source.where(), names.size(), fmt::join(names, ", "));
  return names[0];
}

size_t file_bytes(const fs::path& path) {
  if (!fs::is_directory(path)) return fs::file_size(path);
  size_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == ".safetensors") bytes += entry.file_size();
  }
  return bytes;
}

}  // namespace

void bench_start(const StartBench& o) {
  Laps laps;
  ComponentOptions options;
  options.compute = parse_compute(o.compute.empty() ? "bf16" : o.compute);
  options.plan.device = open_device(o.device);
  options.plan.check_finite = true;
  Device* const device = options.plan.device.get();
  const size_t free_at_first = device ? device->free_bytes() : 0;
  laps.end("the device");
  const auto source = open_model(o.model);
  const std::string component = only_component(*source);
  const Config config = source->config(component);
  const auto weights = source->weights(component);
  if (device == nullptr) check_finite(*weights);
  laps.end("the file: header, checks");
  const Family& family = find_family(config);
  Component model(family.build(config, weights.get(), family.methods.front()), options);
  laps.end("graph and passes");
  laps.pause();
  const RandomInputs inputs = make_inputs(model.source_graph(), read_extents(o.extents, o.batch));
  laps.resume();
  model.begin(inputs.request, inputs.schedule);
  laps.end("before the first step");
  model.step(0, inputs.step);
  laps.end("the first step");
  const size_t taken = device ? free_at_first - device->free_bytes() : 0;

  const Memory memory = memory_of(model);
  const auto size = static_cast<double>(file_bytes(o.model));
  fmt::print("{} · {} · {}\n", o.model, human_bytes(size), device ? device->info().name : "CPU");
  for (const auto& [part, seconds] : laps.parts()) {
    fmt::print("{:28s} {:9.3f} ms\n", part, seconds * 1e3);
  }
  fmt::print("{:28s} {:9.3f} ms\n", "file to first step", laps.total() * 1e3);
  fmt::print("{:28s} {}   activations and buffers {}   process peak {}\n", "weights",
             human_bytes(static_cast<double>(memory.weights)),
             human_bytes(static_cast<double>(memory.buffers)),
             human_bytes(static_cast<double>(peak_resident_bytes())));
  nlohmann::ordered_json json{{"version", OCTAVO_VERSION},
                              {"model", o.model},
                              {"file_bytes", size},
                              {"parts", laps.parts()},
                              {"first_step_ms", laps.total() * 1e3},
                              {"weight_bytes", memory.weights},
                              {"buffer_bytes", memory.buffers}};
  if (device != nullptr) {
    const double rate = link_rate(*device), least = size / rate;
    fmt::print("{:28s} {}\n", "taken on the device", human_bytes(static_cast<double>(taken)));
    fmt::print("{:28s} {:9.3f} ms at {}/s from pinned memory; the start is {:.2f} x that\n",
               "the file over the link", least * 1e3, human_bytes(rate), laps.total() / least);
    json.update({{"device_bytes", taken}, {"link_rate", rate}, {"ratio", laps.total() / least}});
  }
  if (!o.json.empty()) write_file(o.json, json.dump(1) + "\n");
}

}  // namespace octavo::cli
