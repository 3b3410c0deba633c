// Quantizing streams: it needs memory for one tensor and its codes, however large the model is.
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/progress.h"
#include "quant/quantize_model.h"
#include "zoo.h"

namespace octavo {
namespace {

// A line of /proc/self/status, in bytes.
size_t status_bytes(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":")) return std::stoull(line.substr(key.size() + 1)) * 1024;
  }
  throw std::runtime_error("no " + key);
}

// A Flux transformer of 1024 channels with random bf16 weights, about 320 MB; gives its largest
// tensor's bytes.
size_t write_flux(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder / "transformer");
  const Json config = {{"_class_name", "FluxTransformer2DModel"},
                       {"patch_size", 1},
                       {"in_channels", 64},
                       {"num_layers", 1},
                       {"num_single_layers", 8},
                       {"attention_head_dim", 128},
                       {"num_attention_heads", 8},
                       {"joint_attention_dim", 512},
                       {"pooled_projection_dim", 256},
                       {"guidance_embeds", false},
                       {"axes_dims_rope", {16, 56, 56}}};
  std::ofstream(folder / "transformer/config.json") << config.dump();
  std::ofstream(folder / "pipeline.json") << "{}";
  const Config parsed(config, "config");
  std::vector<TensorDecl> decls;
  const Graph graph = find_family(parsed).build(parsed, nullptr, "forward");
  for (const Value& value : graph.values()) {
    if (value.constant) decls.push_back({value.name, DType::bf16, value.constant->shape()});
  }
  sort_for_safetensors(decls);
  SafetensorsWriter writer(folder / "transformer/model.safetensors", decls, {});
  const Tensor block = test::random_tensor({1 << 16}, 1, 0.02f, DType::bf16);
  size_t largest = 0;
  for (const TensorDecl& decl : decls) {
    const size_t bytes = Tensor::typed(decl.dtype, decl.shape).bytes();
    largest = std::max(largest, bytes);
    for (size_t done = 0; done < bytes; done += block.bytes()) {
      writer.write(decl.name, block.data(), std::min(block.bytes(), bytes - done));
    }
  }
  writer.finish();
  return largest;
}

TEST(Memory, QuantizingNeedsOneTensor) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers keep freed memory";
#endif
  set_progress_enabled(false);
  const test::TempFolder folder;
  const size_t largest = write_flux(folder.path() / "model");
  const auto model = open_model(folder.path() / "model");
  const size_t model_bytes =
      std::filesystem::file_size(folder.path() / "model/transformer/model.safetensors");
  ASSERT_GT(model_bytes, 20 * largest);
  for (const char* scheme : {"int8wo", "int4wo", "fp6_e3m2"}) {
    const Recipe recipe = Recipe::for_scheme(scheme, *model);
    std::ofstream("/proc/self/clear_refs") << 5;  // the peak starts over from here
    const size_t before = status_bytes("VmRSS");
    quantize_model(model, recipe, nullptr, folder.file("out.safetensors"));
    const size_t grown = status_bytes("VmHWM") - before;
    constexpr size_t kSlack = 16 << 20;  // buffers, manifest, allocator
    EXPECT_LT(grown, 2 * largest + kSlack) << scheme;
    EXPECT_LT(grown, std::filesystem::file_size(folder.file("out.safetensors")) + largest);
  }
  set_progress_enabled(true);
}

}  // namespace
}  // namespace octavo
