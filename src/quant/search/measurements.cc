#include "quant/search/measurements.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/interrupt.h"
#include "base/text.h"
#include "io/json.h"

namespace octavo {
namespace {

constexpr int kVersion = 1;
constexpr size_t kMaxBytes = size_t{64} << 20;

}  // namespace

Measurements::Measurements(std::filesystem::path path, Identity identity)
    : path_(std::move(path)), identity_(std::move(identity)) {
  if (!path_.empty() && std::filesystem::exists(path_)) load();
}

void Measurements::load() {
  const std::string where = path_.string();
  const Json json = parse_json(read_file(path_, kMaxBytes), where);
  OCTAVO_CHECK_FILE(json.is_object() && json.contains("octavo_search") &&
                        json.contains("identity") && json.contains("measurements"),
                    "{}: not the state of a search; name another file", where);
  OCTAVO_CHECK_FILE(json["octavo_search"] == kVersion, "{}: state of version {}, expected {}",
                    where, describe(json["octavo_search"]), kVersion);
  try {
    const auto found = json["identity"].get<Identity>();
    for (const auto& [key, value] : identity_) {
      const auto other = found.find(key);
      OCTAVO_CHECK(other != found.end() && other->second == value,
                   "{} is the state of another search: its {} is '{}', this one's is '{}'; repeat "
                   "that search's options, or name another state file",
                   where, key, other == found.end() ? "missing" : printable(other->second), value);
    }
    values_ = json["measurements"].get<decltype(values_)>();
  } catch (const Json::exception& error) {
    OCTAVO_FAIL(bad_file, "{}: not the state of a search: {}", where, error.what());
  }
  for (const auto& [name, values] : values_) {
    for (double value : values) {
      OCTAVO_CHECK_FILE(std::isfinite(value), "{}: \"{}\" holds a value that is not finite", where,
                        printable(name));
    }
  }
  resumed_ = values_.size();
}

void Measurements::save() const {
  if (path_.empty()) return;
  const Json json{{"octavo_search", kVersion}, {"identity", identity_}, {"measurements", values_}};
  write_file(path_, json.dump(1) + "\n");
}

const std::vector<double>& Measurements::get(const std::string& name,
                                             const std::function<std::vector<double>()>& measure) {
  const auto found = values_.find(name);
  if (found != values_.end()) return found->second;
  check_interrupt();
  std::vector<double> values = measure();
  for (double value : values) {
    OCTAVO_CHECK_CODE(not_finite, std::isfinite(value), "{}: measured {}", name, value);
  }
  const auto& kept = values_[name] = std::move(values);
  save();
  return kept;
}

}  // namespace octavo
