#include "models/folder_source.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "models/models.h"

namespace octavo {
namespace {

namespace fs = std::filesystem;

struct PromptSet {
  const char *name, *file;
};
constexpr PromptSet kPromptSets[] = {{"known", "prompts.txt"}, {"novel", "prompts-novel.txt"}};

// One prompt a line; empty lines are skipped.
std::vector<std::string> read_prompts(const fs::path& path) {
  std::vector<std::string> prompts;
  if (!fs::exists(path)) return prompts;
  const std::string text = read_file(path);
  for (size_t begin = 0, line = 1; begin < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string prompt = text.substr(begin, end - begin);
    if (!prompt.empty() && prompt.back() == '\r') prompt.pop_back();
    OCTAVO_CHECK_FILE(valid_utf8(prompt), "{}: line {} is not UTF-8: {}", path.string(), line,
                      printable(prompt));
    if (!prompt.empty()) prompts.push_back(std::move(prompt));
    begin = end + 1;
  }
  return prompts;
}

void hash_weights(Hasher& hasher, const WeightStore& weights) {
  for (const std::string& name : weights.names()) {
    check_interrupt();
    const Tensor tensor = weights.tensor(name);
    hasher.update(
        fmt::format("{} {} {}\n", name, octavo::name(tensor.dtype()), to_string(tensor.shape())));
    hasher.update(tensor.data(), tensor.bytes());
    weights.release(name);
  }
}

// What a folder source shares with a component alone: components that are opened once, and a hash.
class OpenedSource : public ModelSource {
 public:
  OpenedSource(fs::path path, Config pipeline, std::map<std::string, fs::path> parts)
      : path_(std::move(path)), pipeline_(std::move(pipeline)), parts_(std::move(parts)) {}

  std::string where() const override { return path_.string(); }
  Config pipeline() const override { return pipeline_; }
  Config config(const std::string& component) const override { return opened(component).config; }
  std::shared_ptr<const WeightStore> weights(const std::string& component) const override {
    return opened(component).weights;
  }

  std::vector<std::string> components() const override {
    std::vector<std::string> names;
    for (const auto& [name, path] : parts_) names.push_back(name);
    return names;
  }

  std::vector<std::string> prompts(const std::string& set) const override {
    std::string known;
    for (const PromptSet& row : kPromptSets) {
      if (set == row.name) return read_prompts(path_ / row.file);
      known += fmt::format(" {}", row.name);
    }
    OCTAVO_FAIL(invalid_argument, "prompt set \"{}\": expected one of:{}", printable(set), known);
  }

  std::string hash() const override {
    const std::lock_guard lock(hash_mutex_);
    if (hash_.empty()) {
      Hasher hasher;
      hasher.update(pipeline_.json().dump());
      for (const std::string& name : components()) {
        hasher.update(fmt::format("\n{}\n{}\n", name, config(name).json().dump()));
        hash_weights(hasher, *weights(name));
      }
      hash_ = hasher.hex();
    }
    return hash_;
  }

 private:
  const ComponentSource& opened(const std::string& component) const {
    const auto part = parts_.find(component);
    if (part == parts_.end()) {
      OCTAVO_FAIL(invalid_argument, "{}: no component \"{}\"; it has: {}", path_.string(),
                  printable(component), fmt::join(components(), ", "));
    }
    const std::lock_guard lock(open_mutex_);
    const auto found = opened_.find(component);
    if (found != opened_.end()) return found->second;
    return opened_.emplace(component, open_component(part->second)).first->second;
  }

  fs::path path_;
  Config pipeline_;
  std::map<std::string, fs::path> parts_;  // component -> its folder or file
  mutable std::mutex open_mutex_, hash_mutex_;
  mutable std::map<std::string, ComponentSource> opened_;
  mutable std::string hash_;
};

bool is_known(const fs::path& config_file) {
  try {
    find_family(Config::load(config_file));
    return true;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unsupported) throw;
    log_warning("left out: {}", error.what());
    return false;
  }
}

}  // namespace

std::shared_ptr<const ModelSource> open_pipeline_folder(const fs::path& folder,
                                                        const fs::path& manifest) {
  // A pipeline of our own needs all of its parts; published ones have parts of many classes.
  const bool published = manifest.filename() == "model_index.json";
  std::map<std::string, fs::path> parts;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), last; !error && it != last; it.increment(error)) {
    const fs::path config = it->path() / "config.json";
    if (!fs::exists(config) || (published && !is_known(config))) continue;
    parts.emplace(it->path().filename().string(), it->path());
  }
  OCTAVO_CHECK_CODE(io, !error, "cannot read folder {}: {}", folder.string(), error.message());
  OCTAVO_CHECK_FILE(!parts.empty(),
                    "{}: no component in this folder; expected folders such as transformer/ with "
                    "config.json and safetensors beside {}",
                    folder.string(), manifest.filename().string());
  return std::make_shared<OpenedSource>(folder, Config::load(manifest), std::move(parts));
}

std::shared_ptr<const ModelSource> open_single_component(const fs::path& path) {
  const Family& family = find_family(open_component(path).config);
  return std::make_shared<OpenedSource>(
      path, Config::parse("{}", path.string() + " (one component, no pipeline.json)"),
      std::map<std::string, fs::path>{{family.role, path}});
}

}  // namespace octavo
