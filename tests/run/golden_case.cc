#include "run/golden_case.h"

#include <nlohmann/json.hpp>

namespace octavo::test {

std::vector<GoldenCall> GoldenCase::calls() const {
  std::vector<GoldenCall> calls;
  for (const Json& object : case_.json().at("calls")) {
    const Config call(object, case_.where());
    calls.push_back({call.get_string("method"), {}, {}});
    const Config args = call.get_object("args"), outputs = call.get_object("outputs");
    for (const std::string& argument : args.keys()) {
      calls.back().inputs[argument] = io_->tensor("in." + args.get_string(argument));
    }
    for (const std::string& output : outputs.keys()) {
      calls.back().outputs[outputs.get_string(output)] = output;
    }
  }
  return calls;
}

TensorMap GoldenCase::taps(const Graph& graph) const {
  TensorMap taps;
  for (const auto& [name, entry] : io_->entries()) {
    if (!name.starts_with("tap.")) continue;
    const std::string path = name.substr(4);
    if (graph.find(path)) taps[path] = io_->tensor(name);
  }
  return taps;
}

}  // namespace octavo::test
