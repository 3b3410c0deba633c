#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/text.h"
#include "io/artifact.h"
#include "io/json.h"

namespace octavo {
namespace {

constexpr int64_t kMaxVersion = 1'000'000;
constexpr int64_t kMaxExtent = int64_t{1} << 40;

std::string utf8(const std::string& text, const char* key) {
  OCTAVO_CHECK(valid_utf8(text), "{} of an artifact must be UTF-8; found \"{}\"", key,
               printable(text));
  return text;
}

// Formats and scales that readers of format_version 1 know.
bool is_of_version_1(const QuantSpec& spec) {
  constexpr std::string_view kFormats[] = {"e4m3", "e5m2", "e3m2", "e2m2", "e2m1", "i8", "i4"};
  return std::find(std::begin(kFormats), std::end(kFormats), spec.format) != std::end(kFormats) &&
         spec.scale != "mx" && !spec.has_tensor_scale();
}

void read_layer(const Config& layers, const std::string& name, ArtifactManifest& manifest) {
  const Config layer = layers.get_object(name);
  const std::string scheme = layer.get_string("scheme");
  LayerForm& form = manifest.layers[name];
  try {
    OCTAVO_CHECK(scheme.starts_with("w="), "it does not begin with w=");
    form.scheme = find_scheme(scheme);
  } catch (const Error& error) {
    layer.fail("scheme", fmt::format("w=SPEC [a=SPEC] ({})", printable(error.what(), 300)));
  }
  form.shape = layer.get_ints("shape", 1, kMaxExtent);
  form.steps = layer.get_int_or("input_steps", 0, 0, LayerForm::kMaxSteps);
  form.rank = layer.get_int_or("low_rank", 0, 0, kMaxExtent);
  form.rotation = layer.get_int_or("rotation", 0, 0, kMaxExtent);
  form.shift = layer.get_bool_or("input_shift", false);
  form.multiplier = layer.get_bool_or("input_multiplier", false);
  form.bias = layer.get_bool_or("bias", false);
  form.two_of_four = layer.get_bool_or("two_of_four", false);
}

// What a plain layer has not is left out.
Json to_object(const LayerForm& form) {
  Json layer = {{"scheme", form.scheme.text()}, {"shape", form.shape}};
  if (form.steps != 0) layer["input_steps"] = form.steps;
  if (form.rank != 0) layer["low_rank"] = form.rank;
  if (form.rotation != 0) layer["rotation"] = form.rotation;
  if (form.shift) layer["input_shift"] = true;
  if (form.multiplier) layer["input_multiplier"] = true;
  if (form.bias) layer["bias"] = true;
  if (form.two_of_four) layer["two_of_four"] = true;
  return layer;
}

void read_attention(const Config& attentions, const std::string& name, ArtifactManifest& manifest) {
  const std::string scheme = attentions.get_string(name);
  try {
    OCTAVO_CHECK(scheme.starts_with("q="), "it does not begin with q=");
    manifest.attentions[name] = find_attention_scheme(scheme);
  } catch (const Error& error) {
    attentions.fail(
        name, fmt::format("q=SPEC k=SPEC v=SPEC [p=FORMAT] ({})", printable(error.what(), 300)));
  }
}

// Arrays of any length; Config's own are for short ones.
std::vector<std::string> read_prompts(const Config& sets, const std::string& set) {
  const Json& value = sets.json().at(set);
  if (!value.is_array()) sets.fail(set, "an array of strings");
  std::vector<std::string> prompts;
  for (const Json& prompt : value) {
    if (!prompt.is_string()) sets.fail(set, "an array of strings");
    prompts.push_back(prompt.get<std::string>());
  }
  return prompts;
}

}  // namespace

int ArtifactManifest::needed_version() const {
  const bool plain = std::all_of(layers.begin(), layers.end(), [](const auto& layer) {
    const Scheme& scheme = layer.second.scheme;
    return layer.second.is_plain() && is_of_version_1(scheme.weight) &&
           (!scheme.activation || is_of_version_1(*scheme.activation));
  });
  return plain && attentions.empty() ? 1 : 2;
}

std::string ArtifactManifest::to_json() const {
  Json json;
  json["format_version"] = format_version;
  json["tool_version"] = utf8(tool_version, "tool_version");
  json["recipe"] = utf8(recipe, "recipe");
  json["stats_hash"] = utf8(stats_hash, "stats_hash");
  json["source_hash"] = utf8(source_hash, "source_hash");
  json["pipeline"] = utf8(pipeline_json, "pipeline");
  json["configs"] = Json::object();
  for (const auto& [name, text] : configs) json["configs"][name] = utf8(text, "config");
  json["layers"] = Json::object();
  for (const auto& [name, form] : layers) json["layers"][utf8(name, "layer")] = to_object(form);
  for (const auto& [name, scheme] : attentions) {
    json["attentions"][utf8(name, "attention")] = scheme.text();
  }
  json["prompts"] = Json::object();
  for (const auto& [set, list] : prompts) {
    Json& array = json["prompts"][set] = Json::array();
    for (const std::string& prompt : list) array.push_back(utf8(prompt, "prompt"));
  }
  return json.dump();
}

ArtifactManifest ArtifactManifest::parse(std::string_view json, const std::string& where) {
  const Config config = Config::parse(json, where);
  ArtifactManifest manifest;
  manifest.format_version = static_cast<int>(config.get_int("format_version", 1, kMaxVersion));
  OCTAVO_CHECK_FILE(manifest.format_version <= kFormatVersion,
                    "{}: format_version is {}, this program reads up to {}; use a newer octavo",
                    where, manifest.format_version, kFormatVersion);
  manifest.tool_version = config.get_string("tool_version");
  manifest.recipe = config.get_string("recipe");
  manifest.stats_hash = config.get_string_or("stats_hash", "");
  manifest.source_hash = config.get_string("source_hash");
  manifest.pipeline_json = config.get_string("pipeline");
  const Config configs = config.get_object("configs");
  for (const std::string& name : configs.keys()) manifest.configs[name] = configs.get_string(name);
  const Config layers = config.get_object("layers");
  for (const std::string& name : layers.keys()) read_layer(layers, name, manifest);
  if (config.has("attentions")) {
    const Config attentions = config.get_object("attentions");
    for (const std::string& name : attentions.keys()) read_attention(attentions, name, manifest);
  }
  if (!config.has("prompts")) return manifest;
  const Config sets = config.get_object("prompts");
  for (const std::string& set : sets.keys()) manifest.prompts[set] = read_prompts(sets, set);
  return manifest;
}

}  // namespace octavo
