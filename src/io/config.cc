#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/text.h"
#include "io/json.h"

namespace octavo {
namespace {

std::string int_range(int64_t min, int64_t max) {
  return fmt::format("a whole number from {} to {}", min, max);
}

std::string double_range(double min, double max) {
  bool bounded =
      min > std::numeric_limits<double>::lowest() || max < std::numeric_limits<double>::max();
  return bounded ? fmt::format("a number from {} to {}", min, max) : "a number";
}

bool is_int_in(const Json& value, int64_t min, int64_t max) {
  if (!value.is_number_integer()) return false;
  // Unsigned values may be beyond int64.
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX}) return false;
  int64_t number = value.get<int64_t>();
  return min <= number && number <= max;
}

bool is_double_in(const Json& value, double min, double max) {
  if (!value.is_number()) return false;
  double number = value.get<double>();
  return std::isfinite(number) && min <= number && number <= max;
}

}  // namespace

Config::Config(const Json& object, std::string where)
    : object_(std::make_shared<Json>(object)), where_(std::move(where)) {
  OCTAVO_CHECK_FILE(object.is_object(), "{}: {}; expected a JSON object", where_, describe(object));
}

Config Config::parse(std::string_view text, const std::string& where) {
  return Config(parse_json(text, where), where);
}

Config Config::load(const std::filesystem::path& path) {
  return parse(read_file(path, kMaxConfigBytes), path.string());
}

bool Config::has(const std::string& key) const {
  auto found = object_->find(key);
  return found != object_->end() && !found->is_null();
}

bool Config::is_array(const std::string& key) const {
  return has(key) && (*object_)[key].is_array();
}

std::vector<std::string> Config::keys() const {
  std::vector<std::string> names;
  for (const auto& item : object_->items()) names.push_back(item.key());
  return names;
}

void Config::fail(const std::string& key, const std::string& expected) const {
  OCTAVO_CHECK_FILE(has(key), "{}: key \"{}\" is missing; expected {}", where_, printable(key),
                    expected);
  OCTAVO_FAIL(bad_file, "{}: key \"{}\" is {}; expected {}", where_, printable(key),
              describe((*object_)[key]), expected);
}

const Json& Config::at(const std::string& key, const std::string& expected) const {
  if (!has(key)) fail(key, expected);
  return (*object_)[key];
}

const Json& Config::array(const std::string& key, const std::string& expected) const {
  const Json& value = at(key, expected);
  if (!value.is_array() || value.empty() || value.size() > kMaxArray) fail(key, expected);
  return value;
}

int64_t Config::get_int(const std::string& key, int64_t min, int64_t max) const {
  std::string expected = int_range(min, max);
  const Json& value = at(key, expected);
  if (!is_int_in(value, min, max)) fail(key, expected);
  return value.get<int64_t>();
}

int64_t Config::get_int_or(const std::string& key, int64_t fallback, int64_t min,
                           int64_t max) const {
  return has(key) ? get_int(key, min, max) : fallback;
}

bool Config::get_bool(const std::string& key) const {
  const Json& value = at(key, "true or false");
  if (!value.is_boolean()) fail(key, "true or false");
  return value.get<bool>();
}

bool Config::get_bool_or(const std::string& key, bool fallback) const {
  return has(key) ? get_bool(key) : fallback;
}

double Config::get_double(const std::string& key, double min, double max) const {
  std::string expected = double_range(min, max);
  const Json& value = at(key, expected);
  if (!is_double_in(value, min, max)) fail(key, expected);
  return value.get<double>();
}

double Config::get_double_or(const std::string& key, double fallback, double min,
                             double max) const {
  return has(key) ? get_double(key, min, max) : fallback;
}

std::string Config::get_string(const std::string& key) const {
  const Json& value = at(key, "a string");
  if (!value.is_string()) fail(key, "a string");
  return value.get<std::string>();
}

std::string Config::get_string_or(const std::string& key, const std::string& fallback) const {
  return has(key) ? get_string(key) : fallback;
}

std::string Config::get_choice(const std::string& key,
                               const std::vector<std::string>& allowed) const {
  std::string expected = fmt::format("one of \"{}\"", fmt::join(allowed, "\", \""));
  const Json& value = at(key, expected);
  if (!value.is_string()) fail(key, expected);
  std::string text = value.get<std::string>();
  if (std::find(allowed.begin(), allowed.end(), text) == allowed.end()) fail(key, expected);
  return text;
}

std::vector<int64_t> Config::get_ints(const std::string& key, int64_t min, int64_t max) const {
  std::string expected =
      fmt::format("an array of 1 to {} elements, each {}", kMaxArray, int_range(min, max));
  std::vector<int64_t> numbers;
  for (const Json& value : array(key, expected)) {
    if (!is_int_in(value, min, max)) fail(key, expected);
    numbers.push_back(value.get<int64_t>());
  }
  return numbers;
}

std::vector<double> Config::get_doubles(const std::string& key) const {
  std::string expected = fmt::format("an array of 1 to {} numbers", kMaxArray);
  std::vector<double> numbers;
  for (const Json& value : array(key, expected)) {
    if (!value.is_number()) fail(key, expected);
    numbers.push_back(value.get<double>());
  }
  return numbers;
}

std::vector<std::string> Config::get_strings(const std::string& key) const {
  std::string expected = fmt::format("an array of 1 to {} strings", kMaxArray);
  std::vector<std::string> strings;
  for (const Json& value : array(key, expected)) {
    if (!value.is_string()) fail(key, expected);
    strings.push_back(value.get<std::string>());
  }
  return strings;
}

Config Config::get_object(const std::string& key) const {
  const Json& value = at(key, "an object");
  if (!value.is_object()) fail(key, "an object");
  return Config(value, where_ + ": " + key);
}

}  // namespace octavo
