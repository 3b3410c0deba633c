#include "judge/judge.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/check.h"
#include "base/progress.h"
#include "octavo/version.h"

namespace octavo {
namespace {

// One sampler run of a batch: what every later comparison needs.
struct Rollout {
  std::vector<Tensor> latents;  // before step k; latents[steps] is final
  std::vector<Tensor> x0;       // predicted at step k
  Tensor pictures;              // [n, 3, H, W]
};

struct Batch {
  std::vector<std::string> prompts;
  std::vector<uint64_t> seeds;
  Tensor noise;  // [n, ...]
};

struct Runners {
  std::unique_ptr<Pipeline> reference, test, bf16;
};

Rollout roll(Pipeline& pipeline, const Tensor& noise) {
  Rollout r;
  r.latents.push_back(noise);
  for (int k = 0; k < pipeline.steps(); ++k) {
    const Tensor velocity = pipeline.velocity(k, r.latents.back());
    r.x0.push_back(pipeline.predict_x0(k, r.latents.back(), velocity));
    r.latents.push_back(pipeline.advance(k, r.latents.back(), velocity));
  }
  r.pictures = pipeline.decode(r.latents.back());
  return r;
}

// Relative L2 error of each sample of axis 0.
std::vector<double> sample_errors(const Tensor& reference, const Tensor& test) {
  std::vector<double> errors;
  for (int64_t i = 0; i < reference.dim(0); ++i)
    errors.push_back(measure(reference.rows(i, i + 1), test.rows(i, i + 1)).rel_l2);
  return errors;
}

Tensor picture(const Tensor& pictures, int64_t index) {
  Shape shape(pictures.shape().begin() + 1, pictures.shape().end());
  return pictures.rows(index, index + 1).reshaped(shape).clone();
}

// Appends this batch's samples to `comparison`. Teacher-forced errors are of the model given the
// reference's own latents; absent (empty) where the model is the reference itself.
void compare(Pipeline& pipeline, const Batch& batch, const Rollout& reference, const Tensor& noise,
             bool teacher, Comparison& comparison, Rollout* keep) {
  const size_t first = comparison.samples.size(), n = batch.prompts.size();
  comparison.samples.resize(first + n);
  const auto sample = [&](size_t i) -> SampleResult& { return comparison.samples[first + i]; };
  for (int k = 0; teacher && k < pipeline.steps(); ++k) {
    const Tensor& latents = reference.latents[k];
    const Tensor x0 = pipeline.predict_x0(k, latents, pipeline.velocity(k, latents));
    const auto errors = sample_errors(reference.x0[k], x0);
    for (size_t i = 0; i < n; ++i) sample(i).teacher_forced.push_back(errors[i]);
  }
  Rollout free = roll(pipeline, noise);
  for (size_t k = 0; k < free.x0.size(); ++k) {
    const auto errors = sample_errors(reference.x0[k], free.x0[k]);
    for (size_t i = 0; i < n; ++i) sample(i).free_running.push_back(errors[i]);
  }
  for (size_t i = 0; i < n; ++i) {
    const Tensor a = picture(reference.pictures, static_cast<int64_t>(i)),
                 b = picture(free.pictures, static_cast<int64_t>(i));
    sample(i).prompt = batch.prompts[i];
    sample(i).seed = batch.seeds[i];
    sample(i).psnr = psnr(a, b);
    sample(i).ssim = ssim(a, b);
  }
  if (keep != nullptr) *keep = std::move(free);
}

Tensor batch_noise(RngKind rng, const std::vector<uint64_t>& seeds, const Shape& latent) {
  Shape shape = latent;
  shape.insert(shape.begin(), static_cast<int64_t>(seeds.size()));
  Tensor noise = Tensor::empty(DType::f32, shape);
  const int64_t each = element_count(latent);
  for (size_t i = 0; i < seeds.size(); ++i) {
    const Tensor one = randn(rng, seeds[i], latent);
    std::copy_n(one.as<float>(), each, noise.as_mutable<float>() + static_cast<int64_t>(i) * each);
  }
  return noise;
}

// The floor of chaos: the same start plus epsilon * N(0, 1) drawn from a stream of its own.
Tensor perturb(const Tensor& noise, double epsilon, uint64_t seed) {
  Tensor result = noise.clone();
  const Tensor extra = randn(RngKind::philox, seed, noise.shape());
  for (int64_t i = 0; i < noise.elements(); ++i)
    result.as_mutable<float>()[i] += static_cast<float>(epsilon) * extra.as<float>()[i];
  return result;
}

// Keeps the `limit` worst pictures of a set by PSNR.
void keep_pictures(const Batch& batch, const Rollout& reference, const Rollout& test,
                   const Comparison& comparison, int limit, std::vector<PictureRow>& rows) {
  const size_t first = comparison.samples.size() - batch.prompts.size();
  for (size_t i = 0; i < batch.prompts.size(); ++i) {
    const SampleResult& s = comparison.samples[first + i];
    const auto index = static_cast<int64_t>(i);
    rows.push_back({s.prompt, s.seed, s.psnr, s.ssim, picture(reference.pictures, index),
                    picture(test.pictures, index)});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const PictureRow& a, const PictureRow& b) { return a.psnr < b.psnr; });
  if (rows.size() > static_cast<size_t>(limit)) rows.resize(limit);
}

std::vector<Batch> make_batches(const std::vector<std::string>& prompts,
                                const JudgeOptions& options, const Shape& latent) {
  std::vector<Batch> batches;
  const auto total = static_cast<int64_t>(prompts.size()) * options.seeds_per_prompt;
  for (int64_t begin = 0; begin < total; begin += options.batch) {
    Batch batch;
    for (int64_t i = begin; i < std::min<int64_t>(begin + options.batch, total); ++i) {
      batch.prompts.push_back(prompts[i % static_cast<int64_t>(prompts.size())]);
      batch.seeds.push_back(options.seed + static_cast<uint64_t>(i));
    }
    batch.noise = batch_noise(options.rng, batch.seeds, latent);
    batches.push_back(std::move(batch));
  }
  return batches;
}

SetReport judge_set(Runners& run, const std::string& name, const std::vector<Batch>& batches,
                    const JudgeOptions& options, Progress& progress) {
  SetReport set{name, {{"test", {}}}, {}};
  if (options.floors) set.comparisons.insert(set.comparisons.end(), {{"noise", {}}, {"bf16", {}}});
  for (const Batch& batch : batches) {
    const Conditioning conditioning = run.reference->encode(batch.prompts);
    run.reference->begin(conditioning);
    const Rollout reference = roll(*run.reference, batch.noise);
    progress.step();
    if (options.floors) {
      const Tensor start = perturb(batch.noise, options.epsilon, batch.seeds.front() + 1000003);
      compare(*run.reference, batch, reference, start, false, set.comparisons[1], nullptr);
      progress.step();
      run.bf16->begin(run.bf16->encode(batch.prompts));
      compare(*run.bf16, batch, reference, batch.noise, true, set.comparisons[2], nullptr);
      progress.step();
    }
    run.test->begin(run.test->encode(batch.prompts));
    Rollout test;
    compare(*run.test, batch, reference, batch.noise, true, set.comparisons[0], &test);
    keep_pictures(batch, reference, test, set.comparisons[0], options.pictures, set.pictures);
    progress.step();
  }
  return set;
}

std::string precision_of(const PlannedNode& node) {
  const Attrs& attrs = node.call.attrs;
  if (node.call.op == Op::attention) {
    const auto& in = node.call.inputs;
    return fmt::format("q={} k={} v={}", name(in[0]->dtype), name(in[1]->dtype),
                       name(in[2]->dtype));
  }
  if (node.call.op != Op::quantized_linear && node.call.op != Op::quantized_conv2d)
    return std::string(name(node.call.outputs.front().dtype));
  const std::string x = attrs.get_string_or("x_spec", "");
  return "w=" + attrs.get_string_or("w_spec", "") + (x.empty() ? "" : " a=" + x);
}

}  // namespace

std::vector<LayerAttestation> attest(Pipeline& pipeline) {
  std::vector<LayerAttestation> rows;
  for (const auto& [component, runner] : pipeline.components()) {
    std::vector<std::string> seen;
    for (const auto& plan : runner->plans())
      for (const PlannedNode& node : plan->nodes) {
        const Op op = node.call.op;
        const bool product = op == Op::linear || op == Op::conv2d || op == Op::quantized_linear ||
                             op == Op::quantized_conv2d || op == Op::attention;
        if (!product || std::find(seen.begin(), seen.end(), node.call.name) != seen.end()) continue;
        seen.push_back(node.call.name);
        rows.push_back(
            {component, node.call.name, octavo::name(op), node.kernel->name, precision_of(node)});
      }
  }
  return rows;
}

bool Report::passed() const {
  return std::all_of(gates.begin(), gates.end(), [](const GateResult& g) { return g.passed; });
}

Report judge(const ModelSource& reference, const ModelSource& test, const JudgeOptions& options) {
  OCTAVO_CHECK(!options.prompt_sets.empty(), "[judge] no prompts: give --prompts FILE");
  PipelineOptions pipeline_options;
  pipeline_options.component.plan.device = options.device;
  pipeline_options.steps = options.steps;
  PipelineOptions bf16_options = pipeline_options;
  bf16_options.component.compute = DType::bf16;
  PipelineOptions test_options = pipeline_options;
  test_options.component.compute = options.compute;
  Runners run{make_pipeline(reference, pipeline_options), make_pipeline(test, test_options),
              make_pipeline(reference, bf16_options)};
  OCTAVO_CHECK(
      run.reference->sigmas() == run.test->sigmas() &&
          run.reference->latent_shape() == run.test->latent_shape(),
      "[judge] {} and {} have different samplers or latents ({} and {} steps): they cannot "
      "start from the same noise",
      reference.where(), test.where(), run.reference->steps(), run.test->steps());

  Report report;
  report.reference = reference.where();
  report.test = test.where();
  report.recipe = test.recipe();
  report.tool_version = OCTAVO_VERSION;
  report.device = options.device ? fmt::format("{} ({})", options.device->info().label,
                                               options.device->info().name)
                                 : "CPU";
  report.sigmas = run.reference->sigmas();
  report.schedule = fmt::format("{} steps, seeds from {}, epsilon {:g}", run.reference->steps(),
                                options.seed, options.epsilon);
  if (options.compute != DType::f32) {
    report.schedule += fmt::format(", test computes in {}", name(options.compute));
  }
  std::vector<std::vector<Batch>> batches;
  int64_t total = 0;
  for (const auto& [name, prompts] : options.prompt_sets) {
    OCTAVO_CHECK(!prompts.empty(), "[judge] prompt set '{}' is empty", name);
    batches.push_back(make_batches(prompts, options, run.reference->latent_shape()));
    total += static_cast<int64_t>(batches.back().size()) * (options.floors ? 4 : 2);
  }
  Progress progress("judging", total, "runs");
  for (size_t i = 0; i < batches.size(); ++i)
    report.sets.push_back(
        judge_set(run, options.prompt_sets[i].first, batches[i], options, progress));
  report.layers = attest(*run.test);
  return report;
}

}  // namespace octavo
