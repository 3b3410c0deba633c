#pragma once
// judge: two models, one sampler, the same noise. What quantization costs where users see it.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "judge/measure.h"
#include "sample/pipeline.h"
#include "sample/rng.h"

namespace octavo {

struct JudgeOptions {
  std::vector<std::pair<std::string, std::vector<std::string>>>
      prompt_sets;    // ("known", [...]), ...
  uint64_t seed = 0;  // prompt i of a set, repetition r: seed + i + r * prompts
  int seeds_per_prompt = 1;
  int steps = 0, batch = 8;
  bool floors = true;     // the perturbed-noise and bf16 floors too
  double epsilon = 1e-3;  // of the perturbed-noise floor
  RngKind rng = RngKind::torch;
  int pictures = 8;                     // kept for the report, worst first, per set
  std::shared_ptr<Device> device = {};  // both models run here; nullptr: the CPU
  DType compute = DType::f32;           // of the test model; the reference's is f32
};

// One picture of one comparison: test against reference, or a floor against reference.
struct SampleResult {
  std::string prompt;
  uint64_t seed = 0;
  double psnr = 0, ssim = 0;
  // Relative L2 error of x0 at each step; teacher_forced is empty for the noise floor, whose model
  // is the reference itself.
  std::vector<double> teacher_forced, free_running;
};
struct Comparison {
  std::string name;  // "test", "noise", "bf16"
  std::vector<SampleResult> samples;
};
struct PictureRow {
  std::string prompt;
  uint64_t seed = 0;
  double psnr = 0, ssim = 0;
  Tensor reference, test;  // [3, H, W]
};
struct SetReport {
  std::string name;                     // "known", "novel"
  std::vector<Comparison> comparisons;  // test first, then the floors if asked for
  std::vector<PictureRow> pictures;
};
struct LayerAttestation {
  std::string component, layer, op, kernel, precision;
};
struct Report {
  std::string reference, test, recipe, tool_version, schedule;
  std::string device;  // where both ran: "CPU", "cuda:0 (NVIDIA H200)"
  std::vector<float> sigmas;
  std::vector<SetReport> sets;
  std::vector<LayerAttestation> layers;  // what really ran in the test model
  struct GateResult {
    std::string rule;
    double found = 0;
    bool passed = false;
  };
  std::vector<GateResult> gates;
  bool passed() const;
};

// A gate file: one rule a line, `SET MEASURE OP VALUE`, e.g. `known psnr.low >= 41`,
// `novel ssim.mean >= 0.95`, `* x0.teacher.max <= 0.2`. Error names line, word, allowed words.
struct Gate {
  struct Rule {
    std::string set, measure, op;
    double value;
    int line;
  };
  std::vector<Rule> rules;
  static Gate parse(std::string_view text, const std::string& where);
  static Gate defaults();
};

// Which kernel ran each linear, convolution and attention, and in which precision: call after a
// run.
std::vector<LayerAttestation> attest(Pipeline& pipeline);

Report judge(const ModelSource& reference, const ModelSource& test, const JudgeOptions& options);
void apply_gate(const Gate& gate, Report& report);
std::string to_json(const Report& report);
std::string to_html(const Report& report);  // self-contained: pictures inline, opens offline
std::string summary(const Report& report);  // the table for the terminal

}  // namespace octavo
