// An artifact: opened, then every tensor and every quantized layer of every component is read.
#include "base/check.h"
#include "fuzz/fuzz.h"
#include "fuzz/memory_file.h"
#include "io/artifact.h"

using namespace octavo;

namespace {

void read_component(const Artifact& artifact, const std::string& component) {
  const auto store = artifact.weights(component);
  for (const std::string& name : store->names()) {
    const TensorType type = store->type(name);
    const Tensor tensor = store->tensor(name);
    fuzz::must(tensor.dtype() == type.dtype && tensor.shape() == type.shape,
               "tensors are what type() says");
    if (!name.ends_with(".weight")) continue;
    const auto layer = store->quantized(name.substr(0, name.size() - 7));
    if (!layer) continue;
    fuzz::must(layer->weight.codes.shape() == type.shape, "codes have the weight's shape");
    const bool is_static =
        layer->activation && layer->activation->timing == QuantSpec::Timing::static_;
    fuzz::must(layer->input_scale.has_data() == is_static, "static activations have a scale");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::MemoryFile file(data, size);
  return fuzz::refuse_or_accept([&] {
    const auto artifact = Artifact::open(file.path());
    const ArtifactManifest& manifest = artifact->manifest();
    fuzz::must(ArtifactManifest::parse(manifest.to_json(), "printed") == manifest,
               "a printed manifest reads back as itself");
    for (const std::string& component : artifact->components()) {
      read_component(*artifact, component);
    }
  });
}
