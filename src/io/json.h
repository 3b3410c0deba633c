#pragma once
#include <cstddef>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace octavo {

using Json = nlohmann::json;

inline constexpr int kMaxJsonDepth = 64;
inline constexpr size_t kMaxConfigBytes = size_t{16} << 20;

// Parses a whole JSON text. Error{bad_file} names `where` and line:column of the mistake, or the
// path of a key that stands twice in one object or of nesting deeper than kMaxJsonDepth.
Json parse_json(std::string_view text, const std::string& where);
// A value as it may stand in a message.
std::string describe(const Json& value);

// A JSON object of a file, with getters that check type and range. Each names file and key, the
// value found and what is expected (Error{bad_file}). A key with value null counts as absent.
class Config {
 public:
  Config(const Json& object, std::string where);
  static Config parse(std::string_view text, const std::string& where);
  static Config load(const std::filesystem::path& path);

  bool has(const std::string& key) const;
  bool is_array(const std::string& key) const;
  std::vector<std::string> keys() const;  // sorted, null ones too
  int64_t get_int(const std::string& key, int64_t min, int64_t max) const;
  int64_t get_int_or(const std::string& key, int64_t fallback, int64_t min, int64_t max) const;
  bool get_bool(const std::string& key) const;
  bool get_bool_or(const std::string& key, bool fallback) const;
  double get_double(const std::string& key, double min = std::numeric_limits<double>::lowest(),
                    double max = std::numeric_limits<double>::max()) const;
  double get_double_or(const std::string& key, double fallback,
                       double min = std::numeric_limits<double>::lowest(),
                       double max = std::numeric_limits<double>::max()) const;
  std::string get_string(const std::string& key) const;
  std::string get_string_or(const std::string& key, const std::string& fallback) const;
  // One of `allowed`, which the message lists.
  std::string get_choice(const std::string& key, const std::vector<std::string>& allowed) const;
  // Arrays of 1 to kMaxArray elements.
  std::vector<int64_t> get_ints(const std::string& key, int64_t min, int64_t max) const;
  std::vector<double> get_doubles(const std::string& key) const;
  std::vector<std::string> get_strings(const std::string& key) const;
  Config get_object(const std::string& key) const;

  const Json& json() const { return *object_; }
  const std::string& where() const { return where_; }
  // Throws Error{bad_file} "<where>: key "<key>" is <value>; expected <expected>".
  [[noreturn]] void fail(const std::string& key, const std::string& expected) const;

  static constexpr size_t kMaxArray = 4096;

 private:
  const Json& at(const std::string& key, const std::string& expected) const;
  const Json& array(const std::string& key, const std::string& expected) const;

  std::shared_ptr<const Json> object_;
  std::string where_;
};

}  // namespace octavo
