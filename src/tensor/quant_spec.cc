#include "octavo/quant_spec.h"

#include <algorithm>
#include <charconv>
#include <span>

#include "base/check.h"
#include "tensor/dtype.h"

namespace octavo {
namespace {

using Names = std::span<const std::string_view>;

constexpr std::string_view kFormats[] = {"e4m3", "e5m2", "e3m2", "e2m2", "e2m1", "i8", "i7",
                                         "i6",   "i5",   "i4",   "i3",   "i2",   "u8", "u7",
                                         "u6",   "u5",   "u4",   "u3",   "u2",   "u1"};
constexpr std::string_view kScales[] = {"f32", "f16", "bf16", "e8m0", "e4m3", "mx", "e4m3*f32"};
constexpr std::string_view kTimings[] = {"static", "dynamic"};
constexpr std::string_view kForm =
    "format/ROWSxCOLS/static|dynamic/scale[/zp], as in i8/1x*/dynamic/f32";

std::string list(Names names) {
  std::string text;
  for (const std::string_view n : names) text.append(text.empty() ? "" : " ").append(n);
  return text;
}

bool contains(Names names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t end = 0; end != text.npos; text.remove_prefix(std::min(end + 1, text.size()))) {
    end = text.find(separator);
    parts.push_back(text.substr(0, end));
  }
  return parts;
}

// "*" or a positive number without sign or leading zero.
int64_t parse_extent(std::string_view part, std::string_view whole) {
  if (part == "*") return 0;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
  const bool read = error == std::errc() && end == part.data() + part.size();
  OCTAVO_CHECK(read && value > 0 && part[0] != '0',
               "spec '{}': tile extent '{}' is neither a positive number nor * (whole extent)",
               whole, part);
  return value;
}

std::string extent_text(int64_t extent) { return extent == 0 ? "*" : std::to_string(extent); }

int64_t tile_count(int64_t extent, int64_t tile) {
  return tile == 0 ? 1 : extent / tile + (extent % tile != 0);
}

}  // namespace

QuantSpec QuantSpec::parse(std::string_view text) {
  const auto parts = split(text, '/');
  OCTAVO_CHECK(parts.size() == 4 || parts.size() == 5, "spec '{}' has {} part{}; expected {}", text,
               parts.size(), parts.size() == 1 ? "" : "s", kForm);
  const auto tile = split(parts[1], 'x');
  OCTAVO_CHECK(tile.size() == 2, "spec '{}': tile '{}' is not ROWSxCOLS (1x*, *x*, 1x128, ...)",
               text, parts[1]);
  OCTAVO_CHECK(contains(kTimings, parts[2]), "spec '{}': timing '{}' is not one of: {}", text,
               parts[2], list(kTimings));
  OCTAVO_CHECK(parts.size() == 4 || parts[4] == "zp",
               "spec '{}': fifth part '{}' is not 'zp' (leave it out for symmetric)", text,
               parts.back());
  QuantSpec spec;
  spec.format = parts[0];
  spec.tile_rows = parse_extent(tile[0], text);
  spec.tile_cols = parse_extent(tile[1], text);
  spec.timing = parts[2] == "static" ? Timing::static_ : Timing::dynamic;
  spec.scale = parts[3];
  spec.zero_point = parts.size() == 5;
  spec.validate();
  return spec;
}

std::string QuantSpec::text() const {
  return fmt::format("{}/{}x{}/{}/{}{}", format, extent_text(tile_rows), extent_text(tile_cols),
                     timing == Timing::static_ ? "static" : "dynamic", scale,
                     zero_point ? "/zp" : "");
}

void QuantSpec::validate() const {
  OCTAVO_CHECK(contains(kFormats, format), "spec '{}': format '{}' is not one of: {}", text(),
               format, list(kFormats));
  OCTAVO_CHECK(tile_rows >= 0 && tile_cols >= 0, "spec '{}': tile extents cannot be negative",
               text());
  OCTAVO_CHECK(contains(kScales, scale), "spec '{}': scale '{}' is not one of: {}", text(), scale,
               list(kScales));
  OCTAVO_CHECK(!zero_point || !is_float(*find_dtype(format)),
               "spec '{}': zp needs an integer format (i2 to i8, u1 to u8), not {}", text(),
               format);
  OCTAVO_CHECK(!zero_point || (scale != "mx" && !has_tensor_scale()),
               "spec '{}': zp needs a plain scale, not {}", text(), scale);
  OCTAVO_CHECK(!has_tensor_scale() || tile_cols != 0,
               "spec '{}': {} has a scale for groups of columns under one for the tensor; name the "
               "group, as in 1x16",
               text(), scale);
  OCTAVO_CHECK(zero_point || format[0] != 'u',
               "spec '{}': {} has no codes below 0; add /zp for a zero point", text(), format);
}

std::vector<int64_t> QuantSpec::scale_shape(int64_t rows, int64_t cols) const {
  validate();
  OCTAVO_CHECK(rows >= 0 && cols >= 0, "spec '{}': a {} x {} matrix cannot be", text(), rows, cols);
  OCTAVO_CHECK(
      tile_cols == 0 || cols % tile_cols == 0,
      "spec '{}': groups of {} columns do not divide {} columns; use a group that does, or "
      "* for the whole row",
      text(), tile_cols, cols);
  return {tile_count(rows, tile_rows), tile_count(cols, tile_cols)};
}

}  // namespace octavo
