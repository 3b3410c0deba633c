#include "quant/search/candidates.h"

#include <algorithm>

#include "base/check.h"
#include "base/glob.h"
#include "models/models.h"

namespace octavo {
namespace {

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\n");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
}

Candidate parse_candidate(std::string_view text) {
  const std::string where = fmt::format("candidate '{}'", text);
  const Recipe recipe = Recipe::parse(fmt::format("* {}", text), where);
  OCTAVO_CHECK(recipe.rules.size() == 1, "{}: not one scheme", where);
  OCTAVO_CHECK(!recipe.rules[0].attention,
               "{}: a scheme of attentions, and a search chooses those of linear layers", where);
  return {std::string(text), recipe.rules[0].scheme, recipe.rules[0].how};
}

bool taken_by_default(const CoverageRow& row, const ModelSource& model) {
  const Family& family = find_family(model.config(row.component));
  if (std::string_view(family.role) != "transformer") return false;
  return std::none_of(family.keep_float.begin(), family.keep_float.end(),
                      [&](const char* glob) { return glob_match(glob, row.layer.name); });
}

std::vector<CoverageRow> asked_for(const ModelSource& model,
                                   const std::vector<std::string>& globs) {
  std::vector<CoverageRow> rows;
  std::vector<bool> used(globs.size(), false);
  for (CoverageRow& row : cover(Recipe::parse("* int8wo", "every layer"), model).rows) {
    if (row.layer.op != Op::linear) continue;
    bool wanted = globs.empty() && taken_by_default(row, model);
    for (size_t i = 0; i < globs.size(); ++i) {
      if (!glob_match(globs[i], row.name())) continue;
      used[i] = wanted = true;
    }
    if (wanted) rows.push_back(std::move(row));
  }
  for (size_t i = 0; i < globs.size(); ++i) {
    OCTAVO_CHECK(used[i],
                 "'{}' matches no linear layer of {}; octavo inspect MODEL --layers lists them",
                 globs[i], model.where());
  }
  return rows;
}

}  // namespace

std::vector<Candidate> parse_candidates(std::string_view text) {
  std::vector<Candidate> candidates;
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view one = trimmed(text.substr(0, comma));
    OCTAVO_CHECK(!one.empty(),
                 "an empty candidate; write them as SCHEME WORDS, SCHEME WORDS, ... (\"int8dq, "
                 "int4wo round=gptq, keep\")");
    candidates.push_back(parse_candidate(one));
    for (size_t i = 0; i + 1 < candidates.size(); ++i) {
      OCTAVO_CHECK(candidates[i].scheme != candidates.back().scheme ||
                       candidates[i].how != candidates.back().how,
                   "candidates '{}' and '{}' are the same", candidates[i].text,
                   candidates.back().text);
    }
    if (comma == text.npos) return candidates;
    text.remove_prefix(comma + 1);
  }
}

bool needs_statistics(const std::vector<Candidate>& candidates) {
  return std::any_of(candidates.begin(), candidates.end(), [](const Candidate& c) {
    return c.scheme && !statistics_needed(c.how, *c.scheme).empty();
  });
}

SearchedLayers list_layers(const ModelSource& model, const std::vector<Candidate>& candidates,
                           const std::vector<std::string>& globs) {
  SearchedLayers result;
  for (CoverageRow& row : asked_for(model, globs)) {
    SearchedLayer layer{row.component, row.layer, row.parameters, {}};
    std::string why;
    for (size_t i = 0; i < candidates.size(); ++i) {
      const Candidate& c = candidates[i];
      const std::string one = c.scheme ? obstacle(*c.scheme, c.how, row.layer) : std::string();
      if (one.empty()) layer.possible.push_back(i);
      if (!one.empty()) why += fmt::format("{}{}: {}", why.empty() ? "" : "; ", c.text, one);
    }
    if (layer.possible.empty()) {
      result.left_out.emplace_back(layer.name(), why);
    } else {
      result.layers.push_back(std::move(layer));
    }
  }
  OCTAVO_CHECK(
      !result.layers.empty(), "no layer of {} can be any of the candidates{}", model.where(),
      result.left_out.empty()
          ? ""
          : fmt::format(": {}: {}", result.left_out.front().first, result.left_out.front().second));
  return result;
}

Recipe recipe_of(const std::vector<SearchedLayer>& layers, const std::vector<Candidate>& candidates,
                 const std::vector<size_t>& choice, const std::string& where,
                 const std::string& head) {
  std::string text = head;
  for (size_t l = 0; l < layers.size(); ++l) {
    text += fmt::format("{} {}\n", layers[l].name(), candidates[choice[l]].text);
  }
  return Recipe::parse(text, where);
}

}  // namespace octavo
