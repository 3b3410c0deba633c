// Model folders: what they hold, and what is said of those that do not.
#include <fstream>

#include "base/atomic_file.h"
#include "io/safetensors.h"
#include "models/model_source.h"
#include "stores.h"

namespace octavo {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::golden;
using test::zoo;

TEST(OpenModel, TheZoo) {
  const auto model = open_model(zoo());
  EXPECT_EQ(model->where(), zoo().string());
  EXPECT_EQ(model->components(), (std::vector<std::string>{"text_encoder", "transformer", "vae"}));
  EXPECT_EQ(model->pipeline().get_string("_class_name"), "FluxBytesPipeline");
  EXPECT_EQ(model->config("vae").get_string("_class_name"), "AutoencoderKL");
  EXPECT_EQ(model->weights("transformer")->type("x_embedder.weight").shape, (Shape{256, 32}));
  EXPECT_EQ(model->weights("vae"), model->weights("vae"));
  EXPECT_EQ(model->recipe(), "");

  const std::vector<std::string> known = model->prompts("known"), novel = model->prompts("novel");
  EXPECT_EQ(known.size(), 1836u);
  EXPECT_EQ(novel.size(), 124u);
  for (const std::string& prompt : known) EXPECT_FALSE(prompt.empty());
  expect_error(test::error_of([&] { model->prompts("all"); }), ErrorCode::invalid_argument,
               {"\"all\"", "known novel"});
  expect_error(test::error_of([&] { model->weights("unet"); }), ErrorCode::invalid_argument,
               {zoo().string(), "\"unet\"", "text_encoder, transformer, vae"});
}

// A small pipeline of golden components.
class Folder : public ::testing::Test {
 protected:
  Folder() {
    write_file(folder_.file("pipeline.json"), R"({"_class_name": "SomePipeline"})");
    copy("transformer", "flux_dev");
    copy("vae", "autoencoder_kl_flux");
  }
  void copy(const std::string& part, const std::string& name) {
    fs::copy(golden(name), folder_.path() / part);
    fs::remove(folder_.path() / part / "io.safetensors");
    fs::remove(folder_.path() / part / "case.json");
  }
  fs::path at(const std::string& name) const { return folder_.path() / name; }
  std::string hash() const { return open_model(folder_.path())->hash(); }

  test::TempFolder folder_;
};

TEST_F(Folder, HashFollowsConfigsAndBytes) {
  const std::string first = hash();
  EXPECT_EQ(first.size(), 32u);
  EXPECT_EQ(hash(), first);
  write_file(at("prompts.txt"), "a\n");
  EXPECT_EQ(hash(), first);

  const fs::path file = at("vae/diffusion_pytorch_model.safetensors");
  const std::string bytes = read_file(file);
  std::string other = bytes;
  other.back() ^= 1;
  write_file(file, other);
  EXPECT_NE(hash(), first);
  write_file(file, bytes);
  EXPECT_EQ(hash(), first);

  const Config vae = open_model(folder_.path())->config("vae");
  write_file(at("vae/config.json"), test::with(vae, "scaling_factor", 0.5).json().dump());
  EXPECT_NE(hash(), first);
  write_file(at("vae/config.json"), vae.json().dump());  // other spaces, same values
  EXPECT_EQ(hash(), first);
  write_file(at("pipeline.json"), R"({"_class_name": "Another"})");
  EXPECT_NE(hash(), first);
}

TEST_F(Folder, PromptsAreLines) {
  const auto prompts = [&](const std::string& text) {
    write_file(at("prompts.txt"), text);
    return open_model(folder_.path())->prompts("known");
  };
  using Lines = std::vector<std::string>;
  EXPECT_EQ(prompts("a b\r\n\n\xc3\xa9\nlast"), (Lines{"a b", "\xc3\xa9", "last"}));
  EXPECT_EQ(prompts(""), Lines{});
  EXPECT_EQ(open_model(folder_.path())->prompts("novel"), Lines{});
  expect_error(test::error_of([&] { prompts("fine\nb\xff\n"); }), ErrorCode::bad_file,
               {"prompts.txt", "line 2", "UTF-8", "b\\xff"});
}

TEST_F(Folder, WhatIsMissingIsNamed) {
  fs::remove(at("transformer/diffusion_pytorch_model.safetensors"));
  const auto model = open_model(folder_.path());
  expect_error(test::error_of([&] { model->weights("transformer"); }), ErrorCode::bad_file,
               {"transformer", "no *.safetensors"});
  fs::remove_all(at("transformer"));
  fs::remove_all(at("vae"));
  expect_error(test::error_of([&] { open_model(folder_.path()); }), ErrorCode::bad_file,
               {folder_.path().string(), "no component", "pipeline.json"});
  fs::remove(at("pipeline.json"));
  expect_error(test::error_of([&] { open_model(folder_.path()); }), ErrorCode::bad_file,
               {folder_.path().string(), "expected pipeline.json"});
  expect_error(test::error_of([&] { open_model(at("absent")); }), ErrorCode::io,
               {"absent", "No such file"});
}

TEST_F(Folder, ComponentsAreChecked) {
  fs::copy(at("vae/diffusion_pytorch_model.safetensors"),
           at("transformer/diffusion_pytorch_model.safetensors"),
           fs::copy_options::overwrite_existing);
  const auto model = open_model(folder_.path());
  expect_error(test::error_of([&] { model->weights("transformer"); }), ErrorCode::bad_file,
               {"transformer", "126 of 126 missing", "152 unexpected", "config.json"});
}

TEST_F(Folder, PublishedPipelineLeavesOutOtherClasses) {
  fs::remove(at("pipeline.json"));
  write_file(at("model_index.json"), R"({"_class_name": "FluxPipeline"})");
  fs::create_directory(at("text_encoder"));
  write_file(at("text_encoder/config.json"), R"({"architectures": ["CLIPTextModel"]})");
  const auto model = open_model(folder_.path());
  EXPECT_EQ(model->components(), (std::vector<std::string>{"transformer", "vae"}));
  EXPECT_EQ(model->pipeline().get_string("_class_name"), "FluxPipeline");
}

TEST(OpenModel, OneComponent) {
  const auto model = open_model(golden("flux_schnell"));
  EXPECT_EQ(model->components(), std::vector<std::string>{"transformer"});
  EXPECT_EQ(model->weights("transformer")->names().size(), 122u);
  EXPECT_TRUE(model->pipeline().keys().empty());
  EXPECT_TRUE(model->prompts("known").empty());
  EXPECT_EQ(open_model(golden("autoencoder_kl_sdxl"))->components(),
            std::vector<std::string>{"vae"});
}

TEST(OpenComponent, SaysWhatIsWrong) {
  const test::TempFolder folder;
  expect_error(test::error_of([&] { open_component(folder.path()); }), ErrorCode::bad_file,
               {folder.path().string(), "no *.safetensors"});
  save_safetensors(folder.file("model.safetensors"), {{"a", Tensor::scalar(1)}});
  expect_error(test::error_of([&] { open_component(folder.path()); }), ErrorCode::bad_file,
               {"model.safetensors", "no config.json"});
  write_file(folder.file("config.json"), "{\"_class_name\": ");
  expect_error(test::error_of([&] { open_component(folder.path()); }), ErrorCode::bad_file,
               {"config.json", "1:"});
  write_file(folder.file("config.json"), R"({"_class_name": "UNet2DConditionModel"})");
  expect_error(test::error_of([&] { open_component(folder.path()); }), ErrorCode::unsupported,
               {"config.json", "UNet2DConditionModel", "AutoencoderKL"});
}

}  // namespace
}  // namespace octavo
