#pragma once
// Stores, configs and paths for tests of the models floor.
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/models.h"
#include "support.h"

namespace octavo::test {

inline std::filesystem::path repository() { return OCTAVO_SOURCE_DIR; }
inline std::filesystem::path zoo() { return repository() / "zoo" / "emoji"; }
inline std::filesystem::path golden(const std::string& name) {
  return repository() / "tests" / "goldens" / name;
}
// A published config, kept in configs/.
inline Config published(const std::string& name) {
  return Config::load(repository() / "tests" / "models" / "configs" / (name + ".json"));
}

// Tensors in memory; "memory" in messages.
class MapStore : public WeightStore {
 public:
  explicit MapStore(std::map<std::string, Tensor> tensors) : tensors_(std::move(tensors)) {}
  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& [name, tensor] : tensors_) all.push_back(name);
    return all;
  }
  bool contains(const std::string& name) const override { return tensors_.count(name) != 0; }
  TensorType type(const std::string& name) const override {
    return {at(name).dtype(), at(name).shape()};
  }
  Tensor tensor(const std::string& name) const override { return at(name); }
  std::string where(const std::string&) const override { return "memory"; }
  std::map<std::string, Tensor>& tensors() { return tensors_; }

 private:
  const Tensor& at(const std::string& name) const {
    OCTAVO_CHECK_FILE(contains(name), "memory: tensor \"{}\" is missing", name);
    return tensors_.at(name);
  }
  std::map<std::string, Tensor> tensors_;
};

// Every tensor that a config calls for: without data, or random in f32.
inline std::map<std::string, Tensor> tensors_of(const Config& config, bool with_data) {
  const Family& family = find_family(config);
  std::map<std::string, Tensor> tensors;
  for (const char* method : family.methods) {
    const Graph graph = family.build(config, nullptr, method);
    for (const Value& value : graph.values()) {
      if (!value.constant || tensors.count(value.name)) continue;
      const Shape& shape = value.constant->shape();
      tensors[value.name] =
          with_data ? random_tensor(shape, tensors.size(), 0.1f) : Tensor::typed(DType::f32, shape);
    }
  }
  return tensors;
}

inline std::map<std::string, Tensor> all_tensors(const WeightStore& store) {
  std::map<std::string, Tensor> tensors;
  for (const std::string& name : store.names()) tensors[name] = store.tensor(name);
  return tensors;
}

// `config` with one key replaced, or removed for a null value.
inline Config with(const Config& config, const std::string& key, const nlohmann::json& value) {
  nlohmann::json json = config.json();
  if (value.is_null()) {
    json.erase(key);
  } else {
    json[key] = value;
  }
  return Config(json, "config.json");
}

// The message has all of these parts.
inline void expect_error(const Error& error, ErrorCode code,
                         const std::vector<std::string>& parts) {
  EXPECT_EQ(error.code(), code) << error.what();
  for (const std::string& part : parts) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
        << "\"" << part << "\" is not in: " << error.what();
  }
}

}  // namespace octavo::test
