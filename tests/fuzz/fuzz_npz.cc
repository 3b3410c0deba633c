// Input that begins like a zip is read as .npz, any other as .npy.
#include "fuzz/fuzz.h"
#include "io/npz.h"

using namespace octavo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz::refuse_or_accept([&] {
    std::span<const std::byte> file(reinterpret_cast<const std::byte*>(data), size);
    if (size >= 2 && data[0] == 'P' && data[1] == 'K') {
      for (const auto& [name, tensor] : parse_npz(file, "fuzz.npz")) {
        fuzz::must(tensor.has_data(), "tensors have data");
      }
    } else {
      fuzz::must(parse_npy(file, "fuzz.npy").bytes() < size, "an array is no larger than its file");
    }
  });
}
