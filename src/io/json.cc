#include "io/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/text.h"

namespace octavo {
namespace {

// Builds the value from the parser's events, which nlohmann's own builder does too but without
// looking at depth and at keys that stand twice.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  Json take() { return std::move(root_); }

  bool null() override { return put(nullptr) != nullptr; }
  bool boolean(bool value) override { return put(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return put(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return put(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override {
    return put(value) != nullptr;
  }
  bool string(string_t& value) override { return put(std::move(value)) != nullptr; }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    OCTAVO_CHECK_FILE(!open_.back()->contains(name), "{}: key \"{}\" stands twice{}", where_,
                      printable(name), path());
    key_ = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    std::string_view before = text_.substr(0, std::min(position - (position > 0), text_.size()));
    size_t line = 1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n'));
    size_t column = before.size() - (before.rfind('\n') + 1) + 1;
    OCTAVO_FAIL(bad_file, "{}:{}:{}: not valid JSON: {}", where_, line, column,
                printable(reason(error.what()), 200));
  }

 private:
  // "[json.exception.parse_error.101] parse error at line 1, column 5: REASON" -> "REASON"
  static std::string_view reason(std::string_view what) {
    for (std::string_view mark : {"] ", "parse error at ", ": "}) {
      size_t at = what.find(mark);
      if (at == std::string_view::npos) break;
      what.remove_prefix(at + mark.size());
    }
    return what;
  }

  std::string path() const {
    std::string names;
    for (const std::string& name : path_) names += "/" + name;
    return names.empty() ? "" : " in " + printable(names);
  }

  Json* put(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }

  bool open(Json container) {
    OCTAVO_CHECK_FILE(open_.size() < kMaxJsonDepth, "{}: nested deeper than {} levels", where_,
                      kMaxJsonDepth);
    bool in_object = !open_.empty() && open_.back()->is_object();
    if (!open_.empty()) {
      path_.push_back(in_object ? key_ : std::to_string(open_.back()->size()));
    }
    open_.push_back(put(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    if (!open_.empty()) path_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::string& where_;
  Json root_;
  std::vector<Json*> open_;  // containers not closed yet, outermost first
  std::vector<std::string> path_;
  std::string key_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  Builder builder(text, where);
  Json::sax_parse(text, &builder);
  return builder.take();
}

std::string describe(const Json& value) {
  constexpr size_t kLimit = 80;
  // Written out whole only if that is short.
  if (value.is_array() && value.size() > kLimit / 2) {
    return fmt::format("an array of {} elements", value.size());
  }
  if (value.is_object()) return fmt::format("an object of {} keys", value.size());
  return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), kLimit);
}

}  // namespace octavo
