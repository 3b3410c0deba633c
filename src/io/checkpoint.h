#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "io/weights.h"

namespace octavo {

// The safetensors files of one component, as one store. open() takes
//   a folder   diffusion_pytorch_model.safetensors or model.safetensors, else the same with
//              ".index.json", else the only index, else the only *.safetensors in it;
//   a file     *.safetensors, or *.safetensors.index.json with its shards beside it.
// Error{bad_file} names index, shard and tensor: a shard that is missing or lies outside the
// folder, a tensor of the index that its shard lacks, one that is in two shards or in none's list.
class Checkpoint : public WeightStore {
 public:
  static std::shared_ptr<const Checkpoint> open(const std::filesystem::path& path);

  std::vector<std::string> names() const override;
  bool contains(const std::string& name) const override { return home_.count(name) != 0; }
  TensorType type(const std::string& name) const override;
  Tensor tensor(const std::string& name) const override;
  void release(const std::string& name) const override;
  std::string where(const std::string& name) const override;

  size_t total_bytes() const;                                  // of the tensors' data
  const std::filesystem::path& path() const { return path_; }  // the file or index
  const std::vector<std::shared_ptr<const SafetensorsFile>>& files() const { return files_; }

 private:
  void open_index();
  void add_file(const std::filesystem::path& path);
  const SafetensorsFile& home(const std::string& name) const;

  std::filesystem::path path_;
  std::vector<std::shared_ptr<const SafetensorsFile>> files_;
  std::map<std::string, const SafetensorsFile*> home_;
};

}  // namespace octavo
