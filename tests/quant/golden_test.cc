// Weights of artifacts against PyTorch's emulation (make_quant_goldens.py), bit for bit.
#include "base/progress.h"
#include "quant/quantize_model.h"
#include "zoo.h"

namespace octavo {
namespace {

TEST(Golden, DequantizedWeightsEqualPyTorchs) {
  set_progress_enabled(false);
  const test::TempFolder folder;
  const auto golden = SafetensorsFile::open(std::filesystem::path(OCTAVO_SOURCE_DIR) /
                                            "tests/quant/golden/weights.safetensors");
  std::string written;
  std::shared_ptr<const WeightStore> store;
  for (const auto& [name, entry] : golden->entries()) {
    SCOPED_TRACE(name);
    const size_t slash = name.find('/');
    const std::string scheme = name.substr(0, slash), layer = name.substr(slash + 1);
    if (scheme != written) {
      const std::string path = folder.file(scheme);
      quantize_model(test::zoo(), Recipe::for_scheme(scheme, *test::zoo()), nullptr,
                     path + ".safetensors");
      store = open_model(path + ".safetensors")->weights("transformer");
      written = scheme;
    }
    const Tensor ours = store->tensor(layer + ".weight").rows(0, entry.shape[0]);
    EXPECT_TRUE(test::equal_bytes(ours, golden->tensor(name)));
  }
  EXPECT_EQ(golden->entries().size(), 14u);
  set_progress_enabled(true);
}

}  // namespace
}  // namespace octavo
