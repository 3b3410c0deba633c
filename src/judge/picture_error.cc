#include "judge/picture_error.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/interrupt.h"
#include "sample/rng.h"

namespace octavo {
namespace {

constexpr double kEqualPictures = 1e-20 * 4;  // 200 dB

Tensor make_noise(const Shape& latent, uint64_t seed, int64_t begin, int64_t end) {
  Shape shape = latent;
  shape.insert(shape.begin(), end - begin);
  Tensor noise = Tensor::empty(DType::f32, shape);
  const int64_t each = element_count(latent);
  for (int64_t i = begin; i < end; ++i) {
    const Tensor one = randn(RngKind::torch, seed + static_cast<uint64_t>(i), latent);
    std::copy_n(one.as<float>(), each, noise.as_mutable<float>() + (i - begin) * each);
  }
  return noise;
}

}  // namespace

ReferencePictures::ReferencePictures(const ModelSource& reference, std::vector<std::string> prompts,
                                     const PictureRun& run)
    : prompts_(std::move(prompts)), run_(run) {
  OCTAVO_CHECK(!prompts_.empty(), "no prompts to compare pictures of");
  OCTAVO_CHECK(run_.batch >= 1, "batch is {}, expected 1 or more", run_.batch);
  pictures_ = make(reference, DType::f32);
}

Tensor ReferencePictures::make(const ModelSource& model, DType compute) const {
  PipelineOptions options;
  options.steps = run_.steps;
  options.component.compute = compute;
  options.component.plan.device = run_.device;
  const std::unique_ptr<Pipeline> pipeline = make_pipeline(model, options);
  const auto total = static_cast<int64_t>(prompts_.size());
  Tensor all;
  for (int64_t begin = 0; begin < total; begin += run_.batch) {
    const int64_t end = std::min<int64_t>(begin + run_.batch, total);
    const std::vector<std::string> prompts(prompts_.begin() + begin, prompts_.begin() + end);
    const Tensor noise = make_noise(pipeline->latent_shape(), run_.seed, begin, end);
    const Tensor made = pipeline->decode(pipeline->denoise(pipeline->encode(prompts), noise));
    if (!all.has_data()) {
      Shape shape = made.shape();
      shape[0] = total;
      all = Tensor::empty(DType::f32, shape);
    }
    const int64_t each = made.elements() / made.dim(0);
    std::copy_n(made.as<float>(), made.elements(), all.as_mutable<float>() + begin * each);
    check_interrupt();
  }
  return all;
}

std::vector<double> ReferencePictures::errors(const ModelSource& test) const {
  const Tensor made = make(test, run_.compute);
  OCTAVO_CHECK(made.shape() == pictures_.shape(),
               "{} makes pictures {}, the reference makes {}; compare models of one pipeline",
               test.where(), to_string(made.shape()), to_string(pictures_.shape()));
  const int64_t each = made.elements() / made.dim(0);
  std::vector<double> errors;
  for (int64_t i = 0; i < made.dim(0); ++i) {
    double sum = 0;
    for (int64_t j = i * each; j < (i + 1) * each; ++j) {
      sum += std::pow(double{made.as<float>()[j]} - pictures_.as<float>()[j], 2);
    }
    OCTAVO_CHECK_CODE(not_finite, std::isfinite(sum), "{}: the picture of \"{}\" is not finite",
                      test.where(), prompts_[static_cast<size_t>(i)]);
    errors.push_back(sum / static_cast<double>(each));
  }
  return errors;
}

double psnr_of_error(double error) { return 10 * std::log10(4 / std::max(error, kEqualPictures)); }

std::vector<double> psnr_of_errors(const std::vector<double>& errors) {
  std::vector<double> values;
  for (double error : errors) values.push_back(psnr_of_error(error));
  return values;
}

double mean_psnr(const std::vector<double>& errors) {
  double sum = 0;
  for (double error : errors) sum += psnr_of_error(error);
  return errors.empty() ? 0 : sum / static_cast<double>(errors.size());
}

}  // namespace octavo
