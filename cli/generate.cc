// octavo generate MODEL "prompt": pictures.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/progress.h"
#include "common.h"
#include "io/npz.h"
#include "octavo/version.h"
#include "sample/picture.h"
#include "sample/rng.h"
#include "verb.h"

namespace octavo::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string model, prompts_file, precision = "f32", compute, noise, rng = "torch", output,
                                   device = "cpu";
  std::vector<std::string> prompts;
  uint64_t seed = 0;
  int steps = 0, batch = 4, columns = 0, count = 1;
  double guidance = -1;
  bool grid = false;
};

struct Job {
  std::string prompt;
  uint64_t seed = 0;
  Tensor noise;  // [1, ...]
};

std::vector<std::string> gather_prompts(const Options& o) {
  std::vector<std::string> prompts = o.prompts;
  if (!o.prompts_file.empty()) {
    const auto more = read_prompts(o.prompts_file);
    prompts.insert(prompts.end(), more.begin(), more.end());
  }
  OCTAVO_CHECK(!prompts.empty(), "no prompt; give one or more, or --prompts FILE");
  return prompts;
}

Tensor starting_noise(const Options& o, size_t jobs, const Shape& latent) {
  const auto tensors = load_tensors(o.noise);
  OCTAVO_CHECK_FILE(tensors.contains("noise"), "{}: no tensor 'noise' in it", o.noise);
  Shape expected = latent;
  expected.insert(expected.begin(), static_cast<int64_t>(jobs));
  const Tensor& noise = tensors.at("noise");
  OCTAVO_CHECK_FILE(noise.shape() == expected,
                    "{}: tensor 'noise' is {}, expected {} ({} pictures)", o.noise,
                    to_string(noise.shape()), to_string(expected), jobs);
  return noise.to(DType::f32);
}

// Picture i of the whole call starts from seed + i, so that each can be made again alone.
std::vector<Job> make_jobs(const Options& o, const std::vector<std::string>& prompts,
                           const Shape& latent) {
  std::vector<Job> jobs;
  for (const std::string& prompt : prompts)
    for (int i = 0; i < o.count; ++i) jobs.push_back({prompt, o.seed + jobs.size(), {}});
  const Tensor given = o.noise.empty() ? Tensor() : starting_noise(o, jobs.size(), latent);
  Shape one = latent;
  one.insert(one.begin(), 1);
  for (size_t i = 0; i < jobs.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    jobs[i].noise =
        given.has_data() ? given.rows(row, row + 1) : randn(parse_rng(o.rng), jobs[i].seed, one);
  }
  return jobs;
}

Tensor stack(const std::vector<Job>& jobs, size_t begin, size_t end) {
  Shape shape = jobs[begin].noise.shape();
  shape[0] = static_cast<int64_t>(end - begin);
  Tensor all = Tensor::empty(DType::f32, shape);
  const int64_t each = jobs[begin].noise.elements();
  for (size_t i = begin; i < end; ++i)
    std::copy_n(jobs[i].noise.as<float>(), each,
                all.as_mutable<float>() + static_cast<int64_t>(i - begin) * each);
  return all;
}

// Calls sink(index, picture) for each picture as soon as its batch is decoded.
void sample(Pipeline& pipeline, const std::vector<Job>& jobs, int batch,
            const std::function<void(size_t, const Tensor&)>& sink) {
  const auto steps = static_cast<int64_t>(pipeline.steps());
  Progress progress("generating", static_cast<int64_t>(jobs.size()) * steps, "steps");
  for (size_t begin = 0; begin < jobs.size(); begin += static_cast<size_t>(batch)) {
    const size_t end = std::min(jobs.size(), begin + static_cast<size_t>(batch));
    std::vector<std::string> prompts;
    for (size_t i = begin; i < end; ++i) prompts.push_back(jobs[i].prompt);
    pipeline.begin(pipeline.encode(prompts));
    const Tensor latents = pipeline.loop(
        stack(jobs, begin, end), [&](int) { progress.step(static_cast<int64_t>(end - begin)); });
    const Tensor decoded = pipeline.decode(latents);
    const Shape shape(decoded.shape().begin() + 1, decoded.shape().end());
    for (size_t i = begin; i < end; ++i) {
      const auto row = static_cast<int64_t>(i - begin);
      sink(i, decoded.rows(row, row + 1).reshaped(shape));
    }
  }
}

// Everything that is needed to make the picture again, as PNG text.
std::map<std::string, std::string> describe(const Options& o, const Precision& precision,
                                            const Pipeline& pipeline,
                                            const std::vector<Job>& jobs) {
  nlohmann::ordered_json json{
      {"version", OCTAVO_VERSION},   {"model", precision.model->hash()},
      {"precision", precision.name}, {"compute", name(precision.compute)},
      {"steps", pipeline.steps()},   {"rng", o.noise.empty() ? o.rng : "file " + o.noise}};
  if (o.guidance >= 0) json["guidance"] = o.guidance;
  json["pictures"] = nlohmann::ordered_json::array();
  for (const Job& job : jobs)
    json["pictures"].push_back({{"prompt", job.prompt}, {"seed", job.seed}});
  return {{"Software", "octavo " OCTAVO_VERSION}, {"octavo", json.dump()}};
}

fs::path numbered(const fs::path& output, size_t index, size_t count) {
  if (count == 1) return output;
  const size_t digits = std::to_string(count).size();
  return output.parent_path() / fmt::format("{}-{:0{}}{}", output.stem().string(), index + 1,
                                            digits, output.extension().string());
}

void run(const Options& o) {
  check_output(o.output);
  const std::vector<std::string> prompts = gather_prompts(o);
  const Precision precision = open_at_precision(o.model, o.precision, o.compute);
  PipelineOptions options;
  options.component.compute = precision.compute;
  options.component.plan.device = open_device(o.device);
  options.steps = o.steps;
  options.guidance = o.guidance;
  const auto pipeline = make_pipeline(*precision.model, options);
  const std::vector<Job> jobs = make_jobs(o, prompts, pipeline->latent_shape());
  if (o.grid) {
    std::vector<Tensor> pictures;
    sample(*pipeline, jobs, o.batch, [&](size_t, const Tensor& p) { pictures.push_back(p); });
    write_png(o.output, make_grid(pictures, o.columns), describe(o, precision, *pipeline, jobs));
    fmt::print("{}\n", o.output);
    return;
  }
  sample(*pipeline, jobs, o.batch, [&](size_t i, const Tensor& picture) {
    const fs::path path = numbered(o.output, i, jobs.size());
    write_png(path, {picture.dim(2), picture.dim(1), to_rgb8(picture)},
              describe(o, precision, *pipeline, {jobs[i]}));
    fmt::print("{}\n", path.string());
  });
}

}  // namespace

void add_generate(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "generate",
      "Make pictures. Picture i starts from seed + i; the same command gives the same bits on any\n"
      "number of threads, and every PNG says how it was made.");
  auto o = std::make_shared<Options>();
  verb->add_option("MODEL", o->model, "Model folder or artifact")->required();
  verb->add_option("PROMPT", o->prompts, "One or more prompts");
  verb->add_option("--prompts", o->prompts_file, "File with more prompts, one a line");
  verb->add_option("-o,--output", o->output, "PNG to write; several pictures: NAME-1.png ...")
      ->required();
  verb->add_option("--precision", o->precision, "f32, bf16, a scheme's name, or an artifact's path")
      ->capture_default_str();
  add_compute_option(*verb, o->compute);
  add_device_option(*verb, o->device);
  verb->add_option("--seed", o->seed, "Seed of the first picture")->capture_default_str();
  verb->add_option("--count", o->count, "Pictures a prompt")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  verb->add_option("--steps", o->steps, "Denoising steps (default: the pipeline's)")
      ->check(CLI::Range(1, 1000));
  verb->add_option("--guidance", o->guidance, "Guidance scale (default: the pipeline's)")
      ->check(CLI::Range(0.0, 100.0));
  verb->add_option("--rng", o->rng, "torch (torch.randn's stream on the CPU) or philox")
      ->capture_default_str();
  verb->add_option("--noise", o->noise, "File whose tensor 'noise' is the starting noise");
  verb->add_option("--batch", o->batch, "Pictures at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  verb->add_flag("--grid", o->grid, "One picture of all, in rows");
  verb->add_option("--columns", o->columns, "Columns of the grid")->check(CLI::Range(1, 1000));
  verb->callback([o] { run(*o); });
}

}  // namespace octavo::cli
