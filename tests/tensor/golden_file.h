#pragma once
// A reader of golden .safetensors files for the tests of this floor, which lies above io's.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/check.h"
#include "tensor/tensor.h"

namespace octavo::test {

struct GoldenFile {
  std::map<std::string, Tensor> tensors;
  nlohmann::json metadata;

  const Tensor& operator[](const std::string& tensor) const {
    const auto found = tensors.find(tensor);
    OCTAVO_CHECK_FILE(found != tensors.end(), "golden file has no tensor '{}'", tensor);
    return found->second;
  }
};

// `file` in tests/tensor.
inline GoldenFile read_goldens(const std::string& file) {
  const std::string path = std::string(OCTAVO_SOURCE_DIR) + "/tests/tensor/" + file;
  std::ifstream in(path, std::ios::binary);
  OCTAVO_CHECK_CODE(io, in.good(), "cannot read {}", path);
  auto bytes = std::make_shared<std::string>(std::istreambuf_iterator<char>(in),
                                             std::istreambuf_iterator<char>());
  uint64_t header_bytes = 0;
  OCTAVO_CHECK_FILE(bytes->size() > 8, "{} is empty", path);
  std::memcpy(&header_bytes, bytes->data(), 8);
  GoldenFile golden;
  const auto header = nlohmann::json::parse(bytes->substr(8, header_bytes));
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__") {
      golden.metadata = entry;
      continue;
    }
    const DType dtype = find_safetensors_dtype(entry["dtype"].get<std::string>()).value();
    const char* data = bytes->data() + 8 + header_bytes + entry["data_offsets"][0].get<size_t>();
    // A copy: data in the file need not be aligned for its type.
    golden.tensors[key] = Tensor::view(dtype, entry["shape"].get<Shape>(), data, bytes).clone();
  }
  return golden;
}

}  // namespace octavo::test
