// A safetensors file: header checks, then every tensor's bytes are read.
#include "fuzz/fuzz.h"
#include "io/safetensors.h"

using namespace octavo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz::refuse_or_accept([&] {
    const std::byte* bytes = reinterpret_cast<const std::byte*>(data);
    SafetensorsHeader header = parse_safetensors({bytes, size}, "fuzz.safetensors");
    size_t covered = 0;
    volatile uint8_t sum = 0;
    for (const auto& [name, entry] : header.entries) {
      fuzz::must(entry.begin <= entry.end && entry.end <= size, "data lies in the file");
      fuzz::must(Tensor::typed(entry.dtype, entry.shape).bytes() == entry.end - entry.begin,
                 "data has the size of the shape");
      for (size_t i = entry.begin; i < entry.end; ++i) sum = static_cast<uint8_t>(sum + data[i]);
      covered += entry.end - entry.begin;
    }
    fuzz::must(covered <= size, "no byte belongs to two tensors");
  });
}
