#pragma once
// What a search has measured so far, kept in a JSON file that is written whole after each
// measurement: an interruption loses the one under way.
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace octavo {

class Measurements {
 public:
  // Of what is searched and with what; two searches with equal ones measure the same.
  using Identity = std::map<std::string, std::string>;

  // An empty path keeps nothing. A file that is there is continued; Error{invalid_argument} names
  // what differs when it is of another search, Error{bad_file} when it is none.
  Measurements(std::filesystem::path path, Identity identity);

  // What was measured under this name, or measure(), which is kept. All values are finite.
  const std::vector<double>& get(const std::string& name,
                                 const std::function<std::vector<double>()>& measure);
  bool has(const std::string& name) const { return values_.count(name) != 0; }
  size_t resumed() const { return resumed_; }  // measurements that the file held

 private:
  void load();
  void save() const;

  std::filesystem::path path_;
  Identity identity_;
  std::map<std::string, std::vector<double>> values_;
  size_t resumed_ = 0;
};

}  // namespace octavo
