// A PNG: decoded, and what came out is encoded and decoded again without loss.
#include <algorithm>

#include "fuzz/fuzz.h"
#include "io/png.h"

using namespace octavo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz::refuse_or_accept([&] {
    Png png = decode_png({reinterpret_cast<const std::byte*>(data), size}, "fuzz.png");
    fuzz::must(png.image.rgb.size() ==
                   static_cast<size_t>(png.image.width) * static_cast<size_t>(png.image.height) * 3,
               "three bytes a pixel");
    if (png.image.rgb.size() > 100000) return;  // slow, and no different
    std::string again = encode_png(png.image, {});
    Png second =
        decode_png({reinterpret_cast<const std::byte*>(again.data()), again.size()}, "again");
    fuzz::must(second.image.rgb == png.image.rgb, "pixels survive a round trip");
  });
}
