// octavo inspect MODEL: parts, parameters, operations by rate, what a recipe would do.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/check.h"
#include "common.h"
#include "models/models.h"
#include "quant/named_recipes.h"
#include "verb.h"

namespace octavo::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string model, scheme, recipe, json;
  std::vector<std::string> extents;  // "S=4096"
  bool graph = false, layers = false;
};

// Extents at which operations are counted, unless given: one sample, 64 of everything else.
Bindings bind_symbols(const Graph& graph, const std::vector<std::string>& given) {
  Bindings bindings;
  for (const std::string& symbol : graph.symbols()) bindings[symbol] = symbol == "B" ? 1 : 64;
  for (const std::string& text : given) {
    const size_t equals = text.find('=');
    int64_t value = 0;
    const char* digits = text.c_str() + equals + 1;
    char* end = nullptr;
    if (equals != std::string::npos) value = std::strtoll(digits, &end, 10);
    OCTAVO_CHECK(equals != std::string::npos && value > 0 && *end == '\0',
                 "--extent {}: expected SYMBOL=NUMBER, such as S=4096", text);
    const std::string symbol = text.substr(0, equals);
    if (bindings.contains(symbol)) bindings[symbol] = value;
  }
  return bindings;
}

std::string extents_text(const Bindings& bindings) {
  std::string text;
  for (const auto& [symbol, value] : bindings)
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", symbol, value);
  return text;
}

nlohmann::ordered_json inspect_method(const Family& family, const Config& config,
                                      const WeightStore* weights, const char* method,
                                      const Options& o) {
  const Graph graph = family.build(config, weights, method);
  if (o.graph) fmt::print("{}\n", to_text(graph));
  const Bindings bindings = bind_symbols(graph, o.extents);
  nlohmann::ordered_json json{{"method", method},
                              {"parameters", parameter_count(graph)},
                              {"extents", extents_text(bindings)}};
  fmt::print("  {:8s} {} parameters in use; operations at {}\n", method,
             human_count(static_cast<double>(parameter_count(graph))), extents_text(bindings));
  double all = 0, hoisted = 0;
  for (const auto& [rate, dim] : flops_by_rate(graph)) {
    const auto flops = static_cast<double>(dim.eval(bindings));
    all += flops;
    if (rate != Rate::step) hoisted += flops;
    json["flops"][name(rate)] = flops;
    fmt::print("    {:12s} {:>10s}FLOP\n", name(rate), human_count(flops));
  }
  // Without a step-rate part (encoders, decoders) there is no loop to hoist out of.
  if (all > hoisted && hoisted > 0)
    fmt::print("    saved every step by running request- and schedule-rate parts once: {:.1f} %\n",
               100 * hoisted / all);
  return json;
}

nlohmann::ordered_json inspect_component(const std::string& name, const Config& config,
                                         const WeightStore* weights, const Options& o) {
  const Family& family = find_family(config);
  fmt::print("{:14s} {}\n", name, family.class_name);
  nlohmann::ordered_json json{{"name", name}, {"class", family.class_name}};
  if (weights != nullptr) {
    double bytes = 0, count = 0;
    for (const std::string& tensor : weights->names()) {
      const TensorType type = weights->type(tensor);
      const auto n = static_cast<double>(element_count(type.shape));
      count += n;
      bytes += n * info(type.dtype).bits / 8;
    }
    fmt::print("  checkpoint {} values, {}\n", human_count(count), human_bytes(bytes));
    json["checkpoint_values"] = count;
    json["checkpoint_bytes"] = bytes;
  }
  for (const char* method : family.methods)
    json["methods"].push_back(inspect_method(family, config, weights, method, o));
  return json;
}

void inspect_recipe(const Options& o, const ModelSource& model) {
  if (o.scheme.empty() && o.recipe.empty()) return;
  OCTAVO_CHECK(o.scheme.empty() || o.recipe.empty(), "give one of --scheme and --recipe");
  const Recipe recipe =
      o.recipe.empty() ? Recipe::for_scheme(o.scheme, model) : find_recipe(o.recipe, model);
  fmt::print("\n{}", describe(cover(recipe, model), o.layers));
}

void run(const Options& o) {
  if (!o.json.empty()) check_output(o.json);
  nlohmann::ordered_json json{{"model", o.model}};
  const fs::path path = o.model;
  if (path.extension() == ".json") {  // a config alone: no weights needed
    json["components"].push_back(
        inspect_component(path.stem().string(), Config::load(path), nullptr, o));
  } else if (fs::is_directory(path) && !fs::exists(path / "pipeline.json") &&
             fs::exists(path / "config.json")) {
    const ComponentSource source = open_component(path);
    json["components"].push_back(
        inspect_component(path.filename().string(), source.config, source.weights.get(), o));
  } else {
    const auto model = open_model(path);
    for (const std::string& component : model->components())
      json["components"].push_back(inspect_component(component, model->config(component),
                                                     model->weights(component).get(), o));
    if (!model->recipe().empty()) fmt::print("\nquantized by:\n{}", model->recipe());
    inspect_recipe(o, *model);
  }
  if (!o.json.empty()) write_file(o.json, json.dump(1) + "\n");
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "inspect",
      "What a model is made of: parts, parameters, operations by how often they change (model,\n"
      "request, schedule, step), and what a recipe would quantize. A config.json alone will do.");
  auto o = std::make_shared<Options>();
  verb->add_option("MODEL", o->model, "Model folder, artifact, component folder or config.json")
      ->required();
  verb->add_option("--scheme", o->scheme, "Show what this scheme would quantize");
  verb->add_option("--recipe", o->recipe,
                   "Show what this recipe (a file or a name) would quantize");
  verb->add_option("--extent", o->extents, "Extents to count at, such as S=4096 T=512 B=2");
  verb->add_flag("--layers", o->layers, "List every layer of the recipe's coverage");
  verb->add_flag("--graph", o->graph, "Print each graph");
  verb->add_option("--json", o->json, "Write the figures to this file");
  verb->callback([o] { run(*o); });
}

}  // namespace octavo::cli
