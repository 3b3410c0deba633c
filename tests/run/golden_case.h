#pragma once
// A case of tests/goldens: the model, its inputs, the library's outputs, and how close to come.
#include <algorithm>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/safetensors.h"
#include "models/model_source.h"
#include "models/models.h"
#include "run/component.h"

namespace octavo::test {

struct GoldenCall {
  std::string method;
  TensorMap inputs;                            // by argument
  std::map<std::string, std::string> outputs;  // result's field -> name after "out."
};

class GoldenCase {
 public:
  explicit GoldenCase(const std::string& name)
      : folder_(std::string(OCTAVO_SOURCE_DIR) + "/tests/goldens/" + name),
        source_(open_component(folder_)),
        case_(Config::load(folder_ + "/case.json")),
        io_(SafetensorsFile::open(folder_ + "/io.safetensors")) {}

  Graph build(const std::string& method) const {
    return find_family(source_.config).build(source_.config, source_.weights.get(), method);
  }
  Graph build_without_weights(const std::string& method) const {
    return find_family(source_.config).build(source_.config, nullptr, method);
  }
  std::vector<GoldenCall> calls() const;
  Tensor expected(const std::string& output) const { return io_->tensor("out." + output); }
  // Tapped values by module path; only those that `graph` computes.
  TensorMap taps(const Graph& graph) const;
  // Of tests/goldens/README.md: 4 max(rel_l2_out32, rel_l2_wide, 2.5e-7).
  double tolerance(const std::string& output) const {
    const auto error = [&](const char* key) { return case_.get_object(key).get_double(output); };
    return 4 * std::max({error("rel_l2_out32"), error("rel_l2_wide"), 2.5e-7});
  }
  // Taps have none of their own: that of the least exact output.
  double tap_tolerance() const {
    double largest = 0;
    for (const std::string& output : case_.get_object("rel_l2_out32").keys()) {
      largest = std::max(largest, tolerance(output));
    }
    return largest;
  }

 private:
  std::string folder_;
  ComponentSource source_;
  Config case_;
  std::shared_ptr<const SafetensorsFile> io_;
};

}  // namespace octavo::test
