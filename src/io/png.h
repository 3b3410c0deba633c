#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace octavo {

// 8-bit RGB, rows top to bottom, 3 bytes a pixel, no padding.
struct Image {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> rgb;
};

struct Png {
  Image image;
  std::map<std::string, std::string> text;  // tEXt, zTXt and iTXt; values in UTF-8
};

inline constexpr int64_t kMaxPngSide = 1 << 14;

// The same image, text and libpng/zlib give the same bytes. Text keys are 1 to 79 printable ASCII
// characters, values UTF-8 without NUL (Error{invalid_argument} otherwise).
std::string encode_png(const Image& image, const std::map<std::string, std::string>& text);
// Any PNG without transparency, brought to 8-bit RGB. Error{bad_file} names `where`.
Png decode_png(std::span<const std::byte> file, const std::string& where);

void write_png(const std::filesystem::path& path, const Image& image,
               const std::map<std::string, std::string>& text = {});
Png read_png(const std::filesystem::path& path);

}  // namespace octavo
