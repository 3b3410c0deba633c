// The state of a search: loaded for a search of one identity, and asked for what it holds.
#include "fuzz/fuzz.h"
#include "fuzz/memory_file.h"
#include "quant/search/measurements.h"

using namespace octavo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::MemoryFile file(data, size);
  return fuzz::refuse_or_accept([&] {
    Measurements state(file.path(), {{"model", "0"}});
    if (!state.has("a")) return;
    fuzz::must(state.resumed() > 0, "what is there was counted");
    state.get("a", []() -> std::vector<double> {
      fuzz::must(false, "what is there is not measured again");
      return {};
    });
  });
}
