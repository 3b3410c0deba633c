#pragma once
// Decoded pictures of many models against those of one reference, from the same noise: all that a
// search needs of a judge, at half its cost.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sample/pipeline.h"

namespace octavo {

struct PictureRun {
  uint64_t seed = 0;  // prompt i starts from randn(torch, seed + i)
  int steps = 0;      // 0: the pipeline's own
  int batch = 8;
  std::shared_ptr<Device> device = {};  // nullptr: the CPU
  DType compute = DType::f32;           // of the models under test; the reference's is f32
};

class ReferencePictures {
 public:
  // Makes the reference's pictures. Error when there are no prompts.
  ReferencePictures(const ModelSource& reference, std::vector<std::string> prompts,
                    const PictureRun& run);

  const std::vector<std::string>& prompts() const { return prompts_; }
  // Mean squared error of each picture, in the order of the prompts; pictures are in [-1, 1].
  std::vector<double> errors(const ModelSource& test) const;

 private:
  Tensor make(const ModelSource& model, DType compute) const;

  std::vector<std::string> prompts_;
  PictureRun run_;
  Tensor pictures_;  // [n, 3, H, W]
};

// 10 log10(4 / error), in dB; at most 200, which stands for equal pictures.
double psnr_of_error(double error);
std::vector<double> psnr_of_errors(const std::vector<double>& errors);
double mean_psnr(const std::vector<double>& errors);

}  // namespace octavo
