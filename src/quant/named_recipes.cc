#include "quant/named_recipes.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/glob.h"
#include "base/text.h"

namespace octavo {
namespace {

constexpr size_t kMaxFile = 16 << 20;
constexpr const char* kPinned = "transformer";  // Family::role
constexpr int64_t kHeadMultiple = 16;           // widths of attention that level 4 takes

struct Level {
  std::string_view name;
  int rank;  // 10 times the level
  std::string_view takes;
};
constexpr Level kLevels[] = {
    {"1", 10, "convolutions"},
    {"2", 20, "convolutions, feed-forward"},
    {"2.5", 25, "convolutions, feed-forward, q/k/v projections"},
    {"3", 30, "convolutions and linears"},
    {"4", 40, "convolutions, linears, attention"},
};

struct Format {
  std::string_view name, linear, convolution, attention, meaning;
};
constexpr Format kFormats[] = {
    {"int8", "int8 smooth=0.8", "int8 solver=steps:min-mean:1",
     "q=i8/*x*/static/f32 k=i8/*x*/static/f32 v=i8/*x*/static/f32 p=i8",
     "SmoothQuant at 0.8; convolutions: Percentile Quant"},
    {"fp8", "w=e4m3/*x*/static/f32 a=e4m3/*x*/static/f32",
     "w=e4m3/*x*/static/f32 a=e4m3/*x*/static/f32", "attn-fp8", "one scale a tensor"},
};

// Parts of names, by family: the original's regular expressions.
struct Excluded {
  std::string_view family;  // empty: any other
  std::vector<std::string_view> parts;
};
const Excluded kExcluded[] = {
    {"FluxTransformer2DModel",
     {"time_emb_proj", "time_embedding", "conv_in", "conv_out", "conv_shortcut", "add_embedding",
      "pos_embed", "time_text_embed", "context_embedder", "norm_out", "x_embedder"}},
    {"",
     {"time_emb_proj", "time_embedding", "conv_in", "conv_out", "conv_shortcut", "add_embedding",
      "pos_embed", "time_text_embed", "context_embedder", "norm_out", "proj_out"}},
};

struct Choice {
  const Format* format = nullptr;
  const Level* level = nullptr;
};

std::string name_of(const Format& format, const Level& level) {
  return fmt::format("{}-level{}", format.name, level.name);
}

Choice find_choice(std::string_view name) {
  for (const Format& format : kFormats) {
    for (const Level& level : kLevels) {
      if (name_of(format, level) == name) return {&format, &level};
    }
  }
  return {};
}

// All layers over all methods, each once, in the order of the graphs.
std::vector<QuantizableLayer> layers_of(const Family& family, const Config& config) {
  std::vector<QuantizableLayer> layers;
  std::set<std::string> known;
  for (const char* method : family.methods) {
    for (QuantizableLayer& layer : quantizable_layers(family.build(config, nullptr, method))) {
      if (known.insert(layer.name).second) layers.push_back(std::move(layer));
    }
  }
  return layers;
}

// Lines of a recipe for one component, of which only those that decide over some layer are taken.
class Lines {
 public:
  Lines(std::string component, const std::vector<QuantizableLayer>& layers)
      : component_(std::move(component)) {
    for (const QuantizableLayer& layer : layers) left_.push_back(layer.name);
  }
  void add(std::string_view pattern, std::string_view action) {
    const size_t before = left_.size();
    left_.erase(std::remove_if(left_.begin(), left_.end(),
                               [&](const std::string& l) { return glob_match(pattern, l); }),
                left_.end());
    if (left_.size() == before) return;
    text_ += fmt::format("{}/{} {}\n", component_, pattern, action);
    takes_ |= !action.starts_with("keep");
  }
  void add_attention(std::string_view scheme) {
    text_ += fmt::format("{}/* {}\n", component_, scheme);
  }
  const std::string& text() const { return text_; }
  bool takes_any() const { return takes_; }

 private:
  std::string component_, text_;
  std::vector<std::string> left_;  // not decided yet
  bool takes_ = false;
};

const Excluded& excluded_of(const Family& family) {
  return *std::find_if(std::begin(kExcluded), std::end(kExcluded), [&](const Excluded& e) {
    return e.family.empty() || e.family == family.class_name;
  });
}

Lines level_lines(const std::string& component, const Config& config, const Choice& choice) {
  const Family& family = find_family(config);
  const auto& [format, level] = choice;
  const std::vector<QuantizableLayer> layers = layers_of(family, config);
  Lines lines(component, layers);
  for (const std::string_view part : excluded_of(family).parts) {
    lines.add(fmt::format("*{}*", part), fmt::format("keep # no level takes {}", part));
  }
  lines.add("proj_out", "keep # no level takes proj_out");
  for (const QuantizableLayer& layer : layers) {
    if (layer.op == Op::conv2d) lines.add(layer.name, format->convolution);
  }
  if (level->rank >= 20) lines.add("*ff.net*", format->linear);
  if (level->rank >= 25) {
    for (const char* pattern : {"*to_q*", "*to_k*", "*to_v*"}) lines.add(pattern, format->linear);
  }
  if (level->rank >= 30) lines.add("*", format->linear);
  lines.add("*", fmt::format("keep # above level {}", level->name));
  const int64_t width = config.get_int_or("attention_head_dim", 0, 0, int64_t{1} << 20);
  if (level->rank >= 40 && width % kHeadMultiple == 0) lines.add_attention(format->attention);
  return lines;
}

bool is_transformer(const Family& family) { return std::string_view(family.role) == kPinned; }

// "component/transformer_blocks.0." and the like, in the order of computation.
std::vector<std::string> block_prefixes(const ModelSource& model) {
  std::vector<std::string> blocks;
  for (const std::string& component : model.components()) {
    const Config config = model.config(component);
    const Family& family = find_family(config);
    if (!is_transformer(family)) continue;
    for (const QuantizableLayer& layer : layers_of(family, config)) {
      const size_t list = layer.name.find("blocks.");
      if (list == layer.name.npos) continue;
      const size_t end = layer.name.find('.', list + 7);
      if (end == layer.name.npos) continue;
      const std::string block = fmt::format("{}/{}", component, layer.name.substr(0, end + 1));
      if (std::find(blocks.begin(), blocks.end(), block) == blocks.end()) blocks.push_back(block);
    }
  }
  return blocks;
}

std::vector<std::string> all_layers(const ModelSource& model) {
  std::vector<std::string> names;
  for (const std::string& component : model.components()) {
    const Config config = model.config(component);
    for (const QuantizableLayer& layer : layers_of(find_family(config), config)) {
      names.push_back(component + "/" + layer.name);
    }
  }
  return names;
}

// The rules that decide over some layer.
std::set<const RecipeRule*> used_rules(const Recipe& recipe,
                                       const std::vector<std::string>& layers) {
  std::set<const RecipeRule*> used;
  for (const std::string& layer : layers) used.insert(recipe.match(layer));
  return used;
}

}  // namespace

const std::vector<NamedRecipe>& named_recipe_table() {
  static const std::vector<NamedRecipe> table = [] {
    std::vector<NamedRecipe> rows;
    for (const Format& format : kFormats) {
      for (const Level& level : kLevels) {
        rows.push_back(
            {name_of(format, level), fmt::format("{} ({})", level.takes, format.meaning)});
      }
    }
    return rows;
  }();
  return table;
}

bool names_recipe(std::string_view name) { return find_choice(name).level != nullptr; }

Recipe named_recipe(std::string_view name, const ModelSource& model) {
  const Choice choice = find_choice(name);
  if (choice.level == nullptr) {
    std::string names;
    for (const NamedRecipe& row : named_recipe_table()) names += " " + row.name;
    OCTAVO_FAIL(invalid_argument, "unknown recipe '{}'; expected one of:{}", name, names);
  }
  std::string text;
  bool takes_any = false;
  for (const std::string& component : model.components()) {
    const Config config = model.config(component);
    if (!is_transformer(find_family(config))) continue;
    const Lines lines = level_lines(component, config, choice);
    text += lines.text();
    takes_any |= lines.takes_any();
  }
  OCTAVO_CHECK(takes_any,
               "recipe {} takes {} of the {}, and {} has none there; the next level takes more",
               name, choice.level->takes, kPinned, model.where());
  return Recipe::parse(text, fmt::format("recipe {}", name));
}

Recipe find_recipe(const std::string& name_or_path, const ModelSource& model) {
  if (names_recipe(name_or_path)) return named_recipe(name_or_path, model);
  return Recipe::parse(read_file(name_or_path, kMaxFile), name_or_path);
}

Pins Pins::parse(std::string_view text) {
  Pins pins;
  std::string_view rest = text;
  unsigned taken = 0;
  for (bool more = true; more;) {
    const size_t comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    more = comma != rest.npos;
    rest = more ? rest.substr(comma + 1) : std::string_view();
    const bool first = part.starts_with("first="), last = part.starts_with("last=");
    const std::string_view digits = part.substr(first ? 6 : last ? 5 : 0);
    int& count = first ? pins.first : pins.last;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
    const unsigned bit = first ? 1 : 2;
    OCTAVO_CHECK((first || last) && error == std::errc() && count > 0 && (taken & bit) == 0 &&
                     end == digits.data() + digits.size(),
                 "pin '{}': '{}' is not first=N or last=N, each once, N from 1", printable(text),
                 printable(part));
    taken |= bit;
  }
  return pins;
}

Recipe pin_blocks(Recipe recipe, const ModelSource& model, const Pins& pins) {
  const std::vector<std::string> blocks = block_prefixes(model);
  const auto count = static_cast<int>(blocks.size());
  OCTAVO_CHECK(pins.first + pins.last < count,
               "first={} and last={} pin all {} blocks of {}; leave some to quantize", pins.first,
               pins.last, count, model.where());
  const std::vector<std::string> layers = all_layers(model);
  const std::set<const RecipeRule*> before = used_rules(recipe, layers);
  Recipe pinned;
  pinned.where = recipe.where;
  for (int i = 0; i < count; ++i) {
    if (i >= pins.first && i < count - pins.last) continue;
    RecipeRule rule;
    rule.pattern = blocks[static_cast<size_t>(i)] + "*";
    rule.words = "keep";
    rule.note = i < pins.first ? fmt::format("pinned, block {} of {}", i + 1, count)
                               : fmt::format("pinned, block {} of {}, {} from the end", i + 1,
                                             count, count - i);
    pinned.rules.push_back(std::move(rule));
  }
  const size_t added = pinned.rules.size();
  pinned.rules.insert(pinned.rules.end(), recipe.rules.begin(), recipe.rules.end());
  const std::set<const RecipeRule*> after = used_rules(pinned, layers);
  Recipe result;
  result.where = recipe.where;
  for (size_t i = 0; i < pinned.rules.size(); ++i) {
    const bool was_used = i >= added && before.count(&recipe.rules[i - added]) != 0;
    if (was_used && after.count(&pinned.rules[i]) == 0) continue;
    result.rules.push_back(pinned.rules[i]);
  }
  return result;
}

}  // namespace octavo
