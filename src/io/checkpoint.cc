#include "io/checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/text.h"
#include "io/json.h"

namespace octavo {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNames[] = {"diffusion_pytorch_model.safetensors", "model.safetensors"};
constexpr std::string_view kFile = ".safetensors", kIndex = ".safetensors.index.json";
constexpr size_t kMaxIndexBytes = size_t{64} << 20;

bool ends_with(const fs::path& path, std::string_view end) {
  std::string name = path.filename().string();
  return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

std::vector<fs::path> files_ending(const fs::path& folder, std::string_view end) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), last; !error && it != last; it.increment(error)) {
    if (ends_with(it->path(), end)) found.push_back(it->path());
  }
  OCTAVO_CHECK_CODE(io, !error, "cannot read folder {}: {}", folder.string(), error.message());
  std::sort(found.begin(), found.end());
  return found;
}

fs::path find_in_folder(const fs::path& folder) {
  std::vector<fs::path> indices = files_ending(folder, kIndex), files = files_ending(folder, kFile);
  for (const char* name : kNames) {
    if (std::count(files.begin(), files.end(), folder / name)) return folder / name;
  }
  for (const char* name : kNames) {
    fs::path index = folder / (std::string(name) + ".index.json");
    if (std::count(indices.begin(), indices.end(), index)) return index;
  }
  const std::vector<fs::path>& found = indices.empty() ? files : indices;
  bool pickles = !files_ending(folder, ".bin").empty() || !files_ending(folder, ".pt").empty();
  OCTAVO_CHECK_FILE(!found.empty(), "{}: no *.safetensors in this folder{}", folder.string(),
                    pickles ? "; convert its .bin or .pt files to safetensors" : "");
  std::string list;
  for (const fs::path& path : found) list += " " + path.filename().string();
  OCTAVO_CHECK_FILE(found.size() == 1, "{}: several checkpoints in this folder, name one of:{}",
                    folder.string(), printable(list, 400));
  return found[0];
}

// Shards lie beside the index or below it. The name alone decides: files may be links into a cache.
bool stays_inside(const fs::path& shard) {
  if (shard.empty() || shard.is_absolute() || !shard.has_filename()) return false;
  return std::find(shard.begin(), shard.end(), "..") == shard.end();
}

std::map<std::string, std::string> read_weight_map(const fs::path& index) {
  Json json = parse_json(read_file(index, kMaxIndexBytes), index.string());
  OCTAVO_CHECK_FILE(json.is_object() && json.contains("weight_map") &&
                        json["weight_map"].is_object() && !json["weight_map"].empty(),
                    "{}: expected an object with key \"weight_map\": {{tensor: file}}",
                    index.string());
  std::map<std::string, std::string> map;
  for (const auto& item : json["weight_map"].items()) {
    const Json& shard = item.value();
    OCTAVO_CHECK_FILE(shard.is_string() && stays_inside(shard.get<std::string>()),
                      "{}: tensor \"{}\" is in {}; expected the name of a file in that folder",
                      index.string(), printable(item.key()), describe(shard));
    map[item.key()] = shard.get<std::string>();
  }
  return map;
}

}  // namespace

std::shared_ptr<const Checkpoint> Checkpoint::open(const fs::path& path) {
  std::error_code error;
  fs::file_status status = fs::status(path, error);
  OCTAVO_CHECK_CODE(io, fs::exists(status), "cannot open {}: {}", path.string(),
                    error ? error.message() : "No such file or directory");
  auto checkpoint = std::make_shared<Checkpoint>();
  checkpoint->path_ = fs::is_directory(status) ? find_in_folder(path) : path;
  if (ends_with(checkpoint->path_, kIndex)) {
    checkpoint->open_index();
  } else {
    OCTAVO_CHECK_FILE(ends_with(checkpoint->path_, kFile),
                      "{}: expected a folder, *.safetensors or *.safetensors.index.json",
                      path.string());
    checkpoint->add_file(checkpoint->path_);
  }
  return checkpoint;
}

void Checkpoint::add_file(const fs::path& path) {
  files_.push_back(SafetensorsFile::open(path));
  const SafetensorsFile* file = files_.back().get();
  for (const auto& [name, entry] : file->entries()) {
    auto [other, added] = home_.emplace(name, file);
    OCTAVO_CHECK_FILE(added, "{}: tensor \"{}\" is in {} and in {}; expected in one shard",
                      path_.string(), printable(name), other->second->path().filename().string(),
                      path.filename().string());
  }
}

void Checkpoint::open_index() {
  std::map<std::string, std::string> map = read_weight_map(path_);
  std::set<std::string> shards;
  for (const auto& [name, shard] : map) shards.insert(shard);
  for (const std::string& shard : shards) {
    OCTAVO_CHECK_CODE(io, fs::exists(path_.parent_path() / shard),
                      "{}: shard {} is missing; download it again", path_.string(),
                      printable(shard));
    add_file(path_.parent_path() / shard);
  }
  for (const auto& [name, shard] : map) {
    auto found = home_.find(name);
    OCTAVO_CHECK_FILE(
        found != home_.end() && found->second->path() == path_.parent_path() / shard,
        "{}: tensor \"{}\" should be in {} but {}", path_.string(), printable(name),
        printable(shard),
        found == home_.end() ? "is in no shard" : "is in " + found->second->path().string());
  }
  for (const auto& [name, file] : home_) {
    OCTAVO_CHECK_FILE(map.count(name), "{}: tensor \"{}\" of shard {} is not in the index",
                      path_.string(), printable(name), file->path().filename().string());
  }
}

const SafetensorsFile& Checkpoint::home(const std::string& name) const {
  auto found = home_.find(name);
  OCTAVO_CHECK_FILE(found != home_.end(),
                    "{}: tensor \"{}\" is missing; the checkpoint has {} others", path_.string(),
                    printable(name), home_.size());
  return *found->second;
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> all;
  for (const auto& [name, file] : home_) all.push_back(name);
  return all;
}

TensorType Checkpoint::type(const std::string& name) const {
  const SafetensorsEntry& entry = home(name).entry(name);
  return {entry.dtype, entry.shape};
}

Tensor Checkpoint::tensor(const std::string& name) const { return home(name).tensor(name); }
void Checkpoint::release(const std::string& name) const { home(name).release(name); }
std::string Checkpoint::where(const std::string& name) const { return home(name).path().string(); }

size_t Checkpoint::total_bytes() const {
  size_t bytes = 0;
  for (const auto& [name, file] : home_) {
    const SafetensorsEntry& entry = file->entry(name);
    bytes += entry.end - entry.begin;
  }
  return bytes;
}

}  // namespace octavo
