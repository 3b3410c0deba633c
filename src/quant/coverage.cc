#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/glob.h"
#include "quant/input_transform.h"
#include "quant/recipe.h"
#include "tensor/quantize.h"

namespace octavo {
namespace {

constexpr int64_t kNominalExtent = 64;
constexpr const char* kQuantizedByDefault = "transformer";  // Family::role

Bindings nominal_extents(const Graph& graph) {
  Bindings bindings;
  for (const std::string& symbol : graph.symbols()) {
    bindings[symbol] = symbol == "B" ? 1 : kNominalExtent;
  }
  return bindings;
}

std::string extents_text(const Bindings& bindings) {
  std::string text;
  for (const auto& [symbol, extent] : bindings) {
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", symbol, extent);
  }
  return text;
}

// One component's layers over all methods of its family, each once, none matched to a rule yet.
struct Component {
  ComponentCoverage totals;
  std::vector<CoverageRow> rows;
  std::vector<AttentionRow> attentions;
};

void list_attentions(const std::string& name, const Graph& graph, const Bindings& extents,
                     Component& component) {
  for (const QuantizableAttention& attention : quantizable_attentions(graph)) {
    AttentionRow row;
    row.component = name;
    row.attention = attention;
    row.flops = static_cast<double>(attention.flops.eval(extents));
    const auto same = [&](const AttentionRow& other) {
      return other.attention.name == attention.name;
    };
    const auto known = std::find_if(component.attentions.begin(), component.attentions.end(), same);
    if (known == component.attentions.end()) {
      component.attentions.push_back(std::move(row));
    } else {
      known->flops += row.flops;
    }
  }
}

Component list_layers(const std::string& name, const Config& config) {
  const Family& family = find_family(config);
  Component component;
  component.totals.component = name;
  component.totals.parameters = static_cast<double>(parameter_count(family, config));
  std::map<std::string, size_t> index;
  for (const char* method : family.methods) {
    const Graph graph = family.build(config, nullptr, method);
    const Bindings extents = nominal_extents(graph);
    component.totals.extents = extents_text(extents);
    for (const auto& [rate, flops] : flops_by_rate(graph)) {
      component.totals.flops += static_cast<double>(flops.eval(extents));
    }
    for (const QuantizableLayer& layer : quantizable_layers(graph)) {
      const auto [at, added] = index.emplace(layer.name, component.rows.size());
      if (added) {
        CoverageRow row;
        row.component = name;
        row.layer = layer;
        row.parameters = static_cast<double>(element_count(layer.weight_shape));
        component.rows.push_back(std::move(row));
      }
      component.rows[at->second].flops += static_cast<double>(layer.flops.eval(extents));
    }
    list_attentions(name, graph, extents, component);
  }
  component.totals.layers = static_cast<int>(component.rows.size());
  component.totals.attentions = static_cast<int>(component.attentions.size());
  return component;
}

void check_not_quantized(const ModelSource& model) {
  OCTAVO_CHECK(model.recipe().empty(),
               "{} is quantized already; quantize the model folder that it was made from",
               model.where());
}

std::string line_name(const Recipe& recipe, const RecipeRule& rule) {
  return rule.line > 0 ? fmt::format("{}:{}", recipe.where, rule.line) : recipe.where;
}

void apply_rule(const Recipe& recipe, CoverageRow& row) {
  const RecipeRule* rule = recipe.match(row.name());
  if (rule == nullptr) {
    row.reason = "no line matches";
    return;
  }
  row.rule = static_cast<int>(rule - recipe.rules.data());
  if (!rule->scheme) {
    row.reason = rule->note.empty() ? "line says keep" : rule->note;
    return;
  }
  const std::string why = obstacle(*rule->scheme, rule->how, row.layer);
  OCTAVO_CHECK(why.empty(), "{}: layer {} cannot be {}: {}; put a line `{} keep` before this one",
               line_name(recipe, *rule), row.name(), rule->words, why, row.name());
  row.scheme = rule->scheme;
  row.how = rule->how;
}

void apply_rule(const Recipe& recipe, AttentionRow& row) {
  const RecipeRule* rule = recipe.match_attention(row.name());
  if (rule == nullptr) return;
  row.rule = static_cast<int>(rule - recipe.rules.data());
  row.scheme = rule->attention;
  row.how = rule->how;
  if (!rule->attention) row.reason = rule->note.empty() ? "line says keep" : rule->note;
}

// Index of a rule that decides over nothing, or -1.
int find_idle(const Recipe& recipe, const Coverage& coverage) {
  std::set<int> used;
  for (const CoverageRow& row : coverage.rows) used.insert(row.rule);
  for (const AttentionRow& row : coverage.attentions) used.insert(row.rule);
  for (int i = 0; i < static_cast<int>(recipe.rules.size()); ++i) {
    if (used.count(i) == 0) return i;
  }
  return -1;
}

// Fails: the rule decides over none of `rows`, "layers" or "attentions".
template <class Row>
[[noreturn]] void fail_idle(const Recipe& recipe, const RecipeRule& rule,
                            const std::vector<Row>& rows, const char* what) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const Row& row) {
    return glob_match(rule.pattern, row.name());
  });
  OCTAVO_CHECK(found != rows.end(),
               "{}: pattern '{}' matches no {}; {}s are named like '{}' (octavo inspect MODEL "
               "--recipe FILE --layers lists them)",
               line_name(recipe, rule), rule.pattern, what, what,
               rows.empty() ? "" : rows.front().name());
  OCTAVO_FAIL(invalid_argument,
              "{}: all {}s of pattern '{}' belong to earlier lines, {} to '{}'; the first match "
              "wins, so move this line up",
              line_name(recipe, rule), what, rule.pattern, found->name(),
              recipe.rules[static_cast<size_t>(found->rule)].pattern);
}

// A line that decides over nothing does not do what its writer meant.
void check_lines(const Recipe& recipe, const Coverage& coverage) {
  const int idle = find_idle(recipe, coverage);
  if (idle < 0) return;
  const RecipeRule& rule = recipe.rules[static_cast<size_t>(idle)];
  if (rule.attention) fail_idle(recipe, rule, coverage.attentions, "attention");
  fail_idle(recipe, rule, coverage.rows, "layer");
}

std::string percent(double part, double whole) {
  return fmt::format("{:.1f} %", whole > 0 ? 100 * part / whole : 0.0);
}

std::string row_line(const CoverageRow& row) {
  const std::string what = row.scheme ? row.scheme->text() : "keep";
  const std::string more = row.scheme ? row.how.text() : row.reason;
  return fmt::format("  {:<58} {:<18} {:<48} {}\n", row.name(), to_string(row.layer.weight_shape),
                     what, more);
}

std::string row_line(const AttentionRow& row) {
  const std::string what = row.scheme ? row.scheme->text() : "keep";
  return fmt::format("  {:<58} {:<18} {:<48} {}\n", row.name(), "attention", what,
                     row.scheme ? row.how.text() : row.reason);
}

// "why: layer, layer, ... (n)" for the layers that stay in float.
std::string kept_lines(const Coverage& coverage) {
  constexpr size_t kShown = 3;
  std::map<std::string, std::vector<std::string>> kept;
  for (const CoverageRow& row : coverage.rows) {
    if (!row.scheme) kept[row.reason].push_back(row.name());
  }
  std::string text;
  for (const auto& [reason, layers] : kept) {
    text += fmt::format("  kept, {}: {} layers (", reason, layers.size());
    for (size_t i = 0; i < std::min(kShown, layers.size()); ++i) {
      text += (i ? ", " : "") + layers[i];
    }
    text += layers.size() > kShown ? ", ...)\n" : ")\n";
  }
  return text;
}

}  // namespace

namespace {

// What the layer's extents or kind do not allow.
std::string words_obstacle(const LayerWords& how, const QuantizableLayer& layer) {
  using Words = LayerWords;
  if (layer.op == Op::conv2d) {
    LayerWords allowed;  // of a convolution
    allowed.solver = how.solver;
    allowed.margin = how.margin;
    allowed.scale_each_step = how.scale_each_step;
    if (how.clip == Words::Clip::mse) allowed.clip = how.clip;
    if (how != allowed || how.solver.name == "output") {
      return fmt::format(
          "a convolution's input has no recorded rows and second moments, and no transform; it "
          "can have solver (not output), margin, steps and clip=mse, not '{}'",
          how.text());
    }
    return {};
  }
  const int64_t out = layer.weight_shape[0], in = layer.weight_shape[1];
  if (how.input.rotation != 0 && rotation_block(how.input.rotation, in) == 0) {
    return fmt::format("its {} inputs cannot be rotated in blocks of {}", in,
                       how.input.rotation > 0 ? how.input.rotation : 2);
  }
  if (how.low_rank > std::min(out, in)) {
    return fmt::format("low-rank={} is above its {} outputs or {} inputs", how.low_rank, out, in);
  }
  if (how.sparsity != Words::Sparsity::none && in % 4 != 0) {
    return fmt::format("its {} inputs are not a multiple of 4, as 2:4 sparsity needs", in);
  }
  return {};
}

}  // namespace

std::string obstacle(const Scheme& scheme, const LayerWords& how, const QuantizableLayer& layer) {
  const std::string why = words_obstacle(how, layer);
  if (!why.empty()) return why;
  const auto [rows, cols] = matrix_extents(layer.weight_shape, MatrixView::weight);
  const int64_t group = scheme.weight.tile_cols;
  if (group != 0 && cols % group != 0) {
    return fmt::format("its K = {} is not a multiple of the group {}", cols, group);
  }
  if (!scheme.activation) return {};
  const QuantSpec& a = *scheme.activation;
  if (a.zero_point) return fmt::format("activation {} has a zero point", a.text());
  if (a.timing == QuantSpec::Timing::static_ && (a.tile_rows != 0 || a.tile_cols != 0)) {
    return fmt::format("static activation {} has tiles; calibration gives one scale a tensor (*x*)",
                       a.text());
  }
  if (layer.op == Op::conv2d && (a.tile_cols != 0 || a.tile_rows > 1)) {
    return fmt::format(
        "activation {} has tiles; a convolution's input has one scale a tensor "
        "(*x*) or a sample (1x*)",
        a.text());
  }
  const int64_t k = layer.weight_shape[1];  // channels of the input
  if (a.tile_cols != 0 && k % a.tile_cols != 0) {
    return fmt::format("its K = {} is not a multiple of the group {} of activation {}", k,
                       a.tile_cols, a.text());
  }
  return {};
}

Recipe Recipe::for_scheme(std::string_view text, const ModelSource& model) {
  check_not_quantized(model);
  const std::string where = fmt::format("scheme '{}'", text);
  const size_t plus = text.find('+');
  const std::string_view scheme = text.substr(0, plus);
  const std::string_view attention = plus == text.npos ? "" : text.substr(plus + 1);
  OCTAVO_CHECK(plus == text.npos || names_attention(attention),
               "{}: '{}' behind the + is not a scheme of attention", where, attention);
  const Recipe any = parse(fmt::format("* {}", scheme), where);
  OCTAVO_CHECK(any.rules.size() == 1 && any.rules[0].scheme.has_value(),
               "{}: not the name of a scheme", where);
  std::string keep, take;
  for (const std::string& component : model.components()) {
    const Config config = model.config(component);
    const Family& family = find_family(config);
    if (std::string_view(family.role) != kQuantizedByDefault) continue;
    const std::vector<CoverageRow> rows = list_layers(component, config).rows;
    const auto matched = [&](const std::string& pattern) {
      return std::any_of(rows.begin(), rows.end(), [&](const CoverageRow& row) {
        return glob_match(pattern, row.layer.name);
      });
    };
    for (const char* pattern : family.keep_float) {
      if (matched(pattern)) keep += fmt::format("{}/{} keep # by default\n", component, pattern);
    }
    for (const CoverageRow& row : rows) {
      const std::string why = obstacle(*any.rules[0].scheme, any.rules[0].how, row.layer);
      const bool kept =
          std::any_of(family.keep_float.begin(), family.keep_float.end(),
                      [&](const char* pattern) { return glob_match(pattern, row.layer.name); });
      if (!why.empty() && !kept) keep += fmt::format("{} keep # {}\n", row.name(), why);
    }
    take += fmt::format("{}/* {}\n", component, scheme);
    if (!attention.empty()) take += fmt::format("{}/* {}\n", component, attention);
  }
  OCTAVO_CHECK(!take.empty(),
               "{}: a scheme alone quantizes the {}, and {} has none; write a recipe", where,
               kQuantizedByDefault, model.where());
  return parse(keep + take, where);
}

Coverage cover(const Recipe& recipe, const ModelSource& model) {
  check_not_quantized(model);
  Coverage coverage;
  for (const std::string& name : model.components()) {
    Component component = list_layers(name, model.config(name));
    for (CoverageRow& row : component.rows) {
      apply_rule(recipe, row);
      if (row.scheme) {
        ++component.totals.quantized_layers;
        component.totals.quantized_parameters += row.parameters;
        component.totals.quantized_flops += row.flops;
      }
      coverage.rows.push_back(std::move(row));
    }
    for (AttentionRow& row : component.attentions) {
      apply_rule(recipe, row);
      if (row.scheme) {
        ++component.totals.quantized_attentions;
        component.totals.quantized_flops += row.flops;
      }
      coverage.attentions.push_back(std::move(row));
    }
    coverage.components.push_back(std::move(component.totals));
  }
  check_lines(recipe, coverage);
  const bool any = std::any_of(coverage.components.begin(), coverage.components.end(),
                               [](const ComponentCoverage& c) {
                                 return c.quantized_layers > 0 || c.quantized_attentions > 0;
                               });
  OCTAVO_CHECK(any, "{}: no layer of {} would be quantized", recipe.where, model.where());
  return coverage;
}

std::string describe(const Coverage& coverage, bool every_layer) {
  std::string text;
  for (const ComponentCoverage& c : coverage.components) {
    text += fmt::format(
        "{:<14} {:>4} of {:<4} layers, {:8.2f} of {:.2f} M parameters ({}), {} of the operations "
        "at "
        "{}\n",
        c.component, c.quantized_layers, c.layers, c.quantized_parameters / 1e6, c.parameters / 1e6,
        percent(c.quantized_parameters, c.parameters), percent(c.quantized_flops, c.flops),
        c.extents);
    if (c.quantized_attentions == 0) continue;
    text +=
        fmt::format("{:<14} {:>4} of {:<4} attentions\n", "", c.quantized_attentions, c.attentions);
  }
  if (!every_layer) return text + kept_lines(coverage);
  for (const CoverageRow& row : coverage.rows) text += row_line(row);
  for (const AttentionRow& row : coverage.attentions) {
    if (row.rule >= 0) text += row_line(row);
  }
  return text;
}

}  // namespace octavo
