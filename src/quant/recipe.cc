#include "quant/recipe.h"

#include <algorithm>

#include "base/check.h"
#include "base/glob.h"
#include "base/text.h"
#include "quant/attention_plan.h"

namespace octavo {
namespace {

constexpr std::string_view kSpaces = " \t\r";
constexpr size_t kMaxLine = 1000;

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

// Takes the next word off `text`; empty at its end.
std::string_view take_word(std::string_view& text) {
  text = trim(text);
  const std::string_view word = text.substr(0, text.find_first_of(kSpaces));
  text.remove_prefix(word.size());
  return word;
}

// Words of a scheme have one letter before their '=': w=SPEC, a=SPEC, q=SPEC.
bool may_be_scheme(std::string_view word) {
  const size_t equals = word.find('=');
  return equals == word.npos || equals == 1;
}

// "SCHEME WORDS..." or "keep" into the rule.
void parse_action(std::string_view action, RecipeRule& rule) {
  std::string scheme;
  unsigned taken = 0;
  for (std::string_view word = take_word(action); !word.empty(); word = take_word(action)) {
    if (rule.how.take(word, taken)) continue;
    OCTAVO_CHECK(may_be_scheme(word), "unknown word '{}'; behind a scheme are allowed:\n{}", word,
                 layer_words_help());
    scheme += (scheme.empty() ? "" : " ") + std::string(word);
  }
  rule.words = scheme;
  OCTAVO_CHECK(!scheme.empty(), "pattern '{}' has no scheme behind it; expected a scheme or keep",
               rule.pattern);
  if (scheme == "keep") {
    OCTAVO_CHECK(taken == 0, "'{}' says nothing about a layer that is kept in float; leave it out",
                 rule.how.text());
    return;
  }
  std::string why;
  if (names_attention(scheme)) {
    rule.attention = find_attention_scheme(scheme);
    why = obstacle(rule.how, *rule.attention);
  } else {
    rule.scheme = find_scheme(scheme);
    why = obstacle(rule.how, *rule.scheme);
  }
  OCTAVO_CHECK(why.empty(), "{}", why);
}

std::string rule_text(const RecipeRule& rule) {
  std::string text = rule.pattern + "  " + rule.words;
  const std::string how = rule.how.text();
  if (!how.empty()) text += " " + how;
  if (!rule.note.empty()) text += "  # " + rule.note;
  return text + "\n";
}

RecipeRule parse_line(std::string_view line, int number) {
  RecipeRule rule;
  rule.line = number;
  const size_t hash = line.find('#');
  if (hash != line.npos) rule.note = trim(line.substr(hash + 1));
  std::string_view content = line.substr(0, hash);
  rule.pattern = take_word(content);
  if (!rule.pattern.empty()) parse_action(content, rule);
  return rule;
}

}  // namespace

Recipe Recipe::parse(std::string_view text, const std::string& where) {
  Recipe recipe;
  recipe.where = where;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    try {
      OCTAVO_CHECK(line.size() <= kMaxLine, "{} bytes in one line; at most {} are allowed",
                   line.size(), kMaxLine);
      OCTAVO_CHECK(line.find('\0') == line.npos, "a zero byte; a recipe is text");
      OCTAVO_CHECK(valid_utf8(line), "\"{}\" is not UTF-8", printable(line));
      RecipeRule rule = parse_line(line, number);
      if (!rule.pattern.empty()) recipe.rules.push_back(std::move(rule));
    } catch (const Error& error) {
      throw Error(error.code(),
                  fmt::format("{}:{}: {}", where, number, printable(error.what(), 1500)));
    }
  }
  return recipe;
}

std::string Recipe::text() const {
  std::string text;
  for (const RecipeRule& rule : rules) text += rule_text(rule);
  return text;
}

bool needs_statistics(const Recipe& recipe) {
  return std::any_of(recipe.rules.begin(), recipe.rules.end(), [](const RecipeRule& rule) {
    if (rule.attention) return is_static(*rule.attention);
    return rule.scheme && !statistics_needed(rule.how, *rule.scheme).empty();
  });
}

const RecipeRule* Recipe::match(std::string_view layer) const {
  for (const RecipeRule& rule : rules) {
    if (!rule.attention && glob_match(rule.pattern, layer)) return &rule;
  }
  return nullptr;
}

const RecipeRule* Recipe::match_attention(std::string_view attention) const {
  for (const RecipeRule& rule : rules) {
    if (!rule.scheme && glob_match(rule.pattern, attention)) return &rule;
  }
  return nullptr;
}

}  // namespace octavo
