// Wrong input of every kind: one clear error, an exit code, and nothing left behind.
#include <gmock/gmock.h>

#include <fstream>

#include "base/atomic_file.h"
#include "command.h"
#include "io/safetensors.h"

namespace octavo {
namespace {

namespace fs = std::filesystem;
using test::emoji;
using testing::HasSubstr;

// A copy of zoo/emoji that a test may spoil.
class BadInput : public testing::Test {
 protected:
  void SetUp() override {
    model_ = folder_.path() / "model";
    fs::copy(emoji(), model_, fs::copy_options::recursive);
    for (const auto& entry : fs::recursive_directory_iterator(model_))
      fs::permissions(entry.path(), fs::perms::owner_write, fs::perm_options::add);
    fs::create_directory(folder_.path() / "out");
  }
  // Runs and expects `code`, `words` in one error message, and an empty output folder.
  void expect(const std::string& arguments, int code, const std::vector<std::string>& words) {
    const auto r = test::octavo(arguments);
    EXPECT_EQ(r.code, code) << arguments << "\n" << r.output;
    EXPECT_THAT(r.output, HasSubstr("octavo: error: "));
    for (const std::string& word : words) EXPECT_THAT(r.output, HasSubstr(word)) << arguments;
    EXPECT_EQ(test::files_in(folder_.path() / "out"), 0u) << arguments;
  }
  void replace(const std::string& file, const std::string& from, const std::string& to) {
    std::string text = read_file(model_ / file);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write_file(model_ / file, text.replace(at, from.size(), to));
  }
  std::string quantize(const std::string& options = "--scheme int8wo") {
    return "quantize " + model_.string() + " " + options + " -o " + out("q.safetensors");
  }
  std::string generate() {
    return "generate " + model_.string() + " rocket --steps 1 -o " + out("p.png");
  }
  std::string out(const std::string& name) { return (folder_.path() / "out" / name).string(); }
  fs::path weights() { return model_ / "transformer/diffusion_pytorch_model.safetensors"; }

  test::TempFolder folder_;
  fs::path model_;
};

TEST_F(BadInput, TruncatedWeights) {
  fs::resize_file(weights(), fs::file_size(weights()) - 100);
  expect(quantize(), 3, {"diffusion_pytorch_model.safetensors"});
  expect(generate(), 3, {"diffusion_pytorch_model.safetensors"});
}

TEST_F(BadInput, OverlongWeights) {
  fs::resize_file(weights(), fs::file_size(weights()) + 1);
  expect(generate(), 3, {"diffusion_pytorch_model.safetensors"});
}

TEST_F(BadInput, HeaderOf2To63) {
  std::fstream file(weights(), std::ios::in | std::ios::out | std::ios::binary);
  file.write("\0\0\0\0\0\0\0\x80", 8);
  file.close();
  expect(generate(), 3, {"diffusion_pytorch_model.safetensors", "9223372036854775808"});
}

TEST_F(BadInput, MissingAndUnexpectedTensors) {
  const auto file =
      SafetensorsFile::open(emoji() + "/transformer/diffusion_pytorch_model.safetensors");
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, entry] : file->entries()) tensors[name] = file->tensor(name);
  auto missing = tensors;
  missing.erase("transformer_blocks.0.attn.to_q.weight");
  save_safetensors(weights(), missing);
  expect(generate(), 3, {"transformer_blocks.0.attn.to_q.weight"});
  auto surplus = tensors;
  surplus["surplus.weight"] = Tensor::scalar(1);
  save_safetensors(weights(), surplus);
  expect(generate(), 3, {"surplus.weight"});
  auto shape = tensors;
  shape["transformer_blocks.0.attn.to_q.weight"] = Tensor::zeros(DType::bf16, {256, 255});
  save_safetensors(weights(), shape);
  expect(generate(), 3, {"transformer_blocks.0.attn.to_q.weight", "[256, 255]", "[256, 256]"});
  auto type = tensors;
  type["transformer_blocks.0.attn.to_q.weight"] = Tensor::zeros(DType::i64, {256, 256});
  save_safetensors(weights(), type);
  expect(generate(), 3, {"transformer_blocks.0.attn.to_q.weight", "i64"});
}

TEST_F(BadInput, NanAndInfWeights) {
  const auto file =
      SafetensorsFile::open(emoji() + "/transformer/diffusion_pytorch_model.safetensors");
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    std::map<std::string, Tensor> tensors;
    for (const auto& [name, entry] : file->entries()) tensors[name] = file->tensor(name);
    Tensor spoilt = tensors["transformer_blocks.0.attn.to_q.weight"].to(DType::f32).clone();
    spoilt.as_mutable<float>()[300] = bad;
    tensors["transformer_blocks.0.attn.to_q.weight"] = spoilt.to(DType::bf16);
    save_safetensors(weights(), tensors);
    expect(generate(), 6, {"transformer_blocks.0.attn.to_q.weight", "300"});
    expect(quantize(), 6,
           {"transformer_blocks.0.attn.to_q.weight", "[1, 44]", std::isnan(bad) ? "nan" : "inf"});
  }
}

TEST_F(BadInput, ImpossibleConfigs) {
  replace("transformer/config.json", "\"num_attention_heads\": 4", "\"num_attention_heads\": 0");
  expect(generate(), 3, {"transformer/config.json", "num_attention_heads", "0"});
  replace("transformer/config.json", "\"num_attention_heads\": 0",
          "\"num_attention_heads\": \"4\"");
  expect(generate(), 3, {"num_attention_heads"});
  replace("transformer/config.json", "\"_class_name\": \"FluxTransformer2DModel\"",
          "\"_class_name\": \"Other\"");
  expect(generate(), 5, {"transformer/config.json", "Other", "FluxTransformer2DModel"});
}

TEST_F(BadInput, BrokenJson) {
  write_file(model_ / "pipeline.json", "{\"_class_name\": \"FluxBytesPipeline\",");
  expect(generate(), 3, {"pipeline.json"});
  fs::remove(model_ / "pipeline.json");
  const auto r = test::octavo(generate());
  EXPECT_NE(r.code, 0);
  EXPECT_THAT(r.output, HasSubstr("pipeline.json"));
}

TEST_F(BadInput, Recipes) {
  const std::string recipe = folder_.file("r.recipe");
  write_file(recipe, "transformer/*.attn.* int9\n");
  expect(quantize("--recipe " + recipe), 2, {"r.recipe:1", "int9", "int8wo"});
  write_file(recipe, "# nothing\n");
  expect(quantize("--recipe " + recipe), 2, {"r.recipe"});
  write_file(recipe, "transformer/no.such.layer int8wo\n");
  expect(quantize("--recipe " + recipe), 2, {"no.such.layer"});
  write_file(recipe, "* keep\n");
  expect(quantize("--recipe " + recipe), 2, {"r.recipe"});
  expect(quantize("--scheme int9"), 2, {"int9", "int8wo"});
  expect(quantize("--scheme int8 --recipe " + recipe), 2, {"--scheme", "--recipe"});
}

TEST_F(BadInput, Prompts) {
  const std::string run = "generate " + model_.string() + " --steps 1 -o " + out("p.png");
  expect(run + " \"$(printf '\\377\\376')\"", 2, {"UTF-8"});
  write_file(folder_.file("big.txt"), std::string(10 << 20, 'a'));
  expect(run + " --prompts " + folder_.file("big.txt"), 3, {"big.txt:1", "10485760"});
  write_file(folder_.file("empty.txt"), "\n\n");
  expect(run + " --prompts " + folder_.file("empty.txt"), 3, {"empty.txt", "no prompts"});
  expect(run, 2, {"no prompt"});
  EXPECT_EQ(test::octavo(run + " ''").code, 0);  // the empty prompt is a prompt
}

TEST_F(BadInput, OutputFolders) {
  expect("generate " + model_.string() + " rocket -o " + folder_.file("none/p.png"), 4,
         {"none", "does not exist"});
  expect(
      "quantize " + model_.string() + " --scheme int8wo -o " + folder_.file("none/q.safetensors"),
      4, {"none", "does not exist"});
  expect("generate " + folder_.file("nowhere") + " rocket -o " + out("p.png"), 4, {"nowhere"});
}

// A file size limit stands in for a full disk: the write fails half way.
TEST_F(BadInput, DiskFull) {
  const auto r =
      test::shell("trap '' XFSZ; ulimit -f 1000; " + test::binary() + " -q " + quantize());
  EXPECT_EQ(r.code, 4) << r.output;
  EXPECT_THAT(r.output, HasSubstr("q.safetensors"));
  EXPECT_EQ(test::files_in(folder_.path() / "out"), 0u);
}

TEST_F(BadInput, NoiseOfAnotherShape) {
  save_safetensors(folder_.file("n.safetensors"), {{"noise", test::random_tensor({1, 64, 31}, 1)}});
  expect(generate() + " --noise " + folder_.file("n.safetensors"), 3,
         {"[1, 64, 31]", "[1, 64, 32]"});
  save_safetensors(folder_.file("n.safetensors"), {{"x", test::random_tensor({1, 64, 32}, 1)}});
  expect(generate() + " --noise " + folder_.file("n.safetensors"), 3, {"'noise'"});
}

TEST_F(BadInput, ArtifactOfAnotherFormat) {
  save_safetensors(folder_.file("a.safetensors"), {{"x", test::random_tensor({4}, 1)}});
  expect("generate " + folder_.file("a.safetensors") + " rocket -o " + out("p.png"), 3,
         {"a.safetensors"});
}

}  // namespace
}  // namespace octavo
