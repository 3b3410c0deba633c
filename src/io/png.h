#pragma once
// 8-bit RGB pictures as PNG, through libpng. Bytes out depend on the input only.
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace octavo {

// Keyword (1-79 Latin-1 characters) and UTF-8 text; written as tEXt where it is plain ASCII, else iTXt.
using PngText = std::vector<std::pair<std::string, std::string>>;

struct Picture {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> rgb;  // height * width * 3
  PngText text;
};

std::string encode_png(const std::vector<uint8_t>& rgb, int64_t width, int64_t height,
                       const PngText& text = {});
void write_png(const std::filesystem::path& path, const Picture& picture);  // atomically
// RGB or grey or palette files as RGB, with their text; Error{bad_file} on anything hostile.
Picture read_png(const std::filesystem::path& path);

}  // namespace octavo
