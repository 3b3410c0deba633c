// Quantized models make pictures: the artifact alone, and every component quantized.
#include <cmath>

#include "base/progress.h"
#include "quant/calibrate.h"
#include "quant/quantize_model.h"
#include "sample/rng.h"
#include "zoo.h"

namespace octavo {
namespace {

using test::zoo;

Tensor pictures(const ModelSource& model) {
  PipelineOptions options;
  options.steps = 2;
  const auto pipeline = make_pipeline(model, options);
  const Tensor noise = randn(RngKind::torch, 1, {1, 64, 32});
  return pipeline->decode(pipeline->denoise(pipeline->encode({"ghost"}), noise));
}

double psnr_db(const Tensor& a, const Tensor& b) {
  const std::vector<float> x = a.to_floats(), y = b.to_floats();
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += std::pow(double{x[i]} - y[i], 2);
  return 10 * std::log10(4 * static_cast<double>(x.size()) / sum);
}

class QuantizedPipeline : public testing::Test {
 protected:
  void SetUp() override { set_progress_enabled(false); }
  void TearDown() override { set_progress_enabled(true); }

  const Stats& stats() {
    static const Stats made = [] {
      CalibrateOptions options;
      options.prompts = {"ghost"};
      options.steps = 2;
      return calibrate(*zoo(), options);
    }();
    return made;
  }

  // The artifact's pictures, after checking that the view on the fly makes the same.
  Tensor quantized_pictures(const std::string& recipe_text) {
    const Recipe recipe = Recipe::parse(recipe_text, "test");
    const std::string path = folder_.file("a.safetensors");
    quantize_model(zoo(), recipe, &stats(), path);
    const Tensor made = pictures(*open_model(path));
    EXPECT_TRUE(same_bytes(made, pictures(*quantized_view(zoo(), recipe, &stats()))));
    return made;
  }

  test::TempFolder folder_;
};

// Eight bits everywhere cost something, but leave the picture what it was.
TEST_F(QuantizedPipeline, EveryComponentInEightBits) {
  const Tensor reference = pictures(*zoo());
  for (const char* recipe : {
           "transformer/*transformer_blocks.*.to_q int8\nvae/decoder.* int8\ntext_encoder/* int8\n",
           "vae/decoder.* int8dq\ntext_encoder/* int8dq\n",
           "vae/decoder.* fp8dq\ntext_encoder/* fp8dqrow\n",
           "* int8wo\n",
       }) {
    SCOPED_TRACE(recipe);
    const double db = psnr_db(reference, quantized_pictures(recipe));
    EXPECT_GT(db, 20);
    EXPECT_LT(db, 80);
  }
}

TEST_F(QuantizedPipeline, ConvolutionsByComponent) {
  const Tensor reference = pictures(*zoo());
  const double eight = psnr_db(reference, quantized_pictures("vae/decoder.* int8wo\n"));
  const double four = psnr_db(reference, quantized_pictures("vae/decoder.* w=i4/1x*/static/f16\n"));
  EXPECT_GT(eight, four + 12);  // four bits fewer: 24 dB where errors are small
}

}  // namespace
}  // namespace octavo
