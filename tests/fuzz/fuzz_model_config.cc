// A config.json: it is refused, or its graphs are built, verified, printed and parsed again.
#include "fuzz/fuzz.h"
#include "models/models.h"

using namespace octavo;

namespace {

// Blocks by the hundred only take time.
bool is_small(const Config& config) {
  for (const char* key : {"num_layers", "num_single_layers", "layers_per_block"}) {
    config.get_int_or(key, 0, -1000, 6);
  }
  return !config.is_array("block_out_channels") ||
         config.get_ints("block_out_channels", INT64_MIN, INT64_MAX).size() <= 5;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz::refuse_or_accept([&] {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const Config config = Config::parse(text, "config.json");
    const Family& family = find_family(config);
    if (!is_small(config)) return;
    for (const char* method : family.methods) {
      const Graph graph = family.build(config, nullptr, method);
      const std::string printed = to_text(graph);
      fuzz::must(to_text(parse_graph(printed)) == printed, "graphs print as they parse");
      for (const QuantizableLayer& layer : quantizable_layers(graph)) {
        fuzz::must(element_count(layer.weight_shape) > 0, "weights have elements");
      }
    }
    fuzz::must(parameter_count(family, config) > 0, "models have parameters");
  });
}
