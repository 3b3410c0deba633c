// Schemes of attention, by name and as values of the algebra.
#include <algorithm>
#include <array>
#include <iterator>

#include "base/check.h"
#include "octavo/quant_spec.h"

namespace octavo {
namespace {

struct Row {
  std::string_view name, operands, weights, meaning;
};

constexpr Row kRows[] = {
    {"attn-fp8", "e4m3/*x*/static/f32", "e4m3",
     "queries, keys, values by one calibrated scale each and the softmax's weights in 8-bit float"},
    {"attn-fp8dq", "e4m3/1x*/dynamic/f32", "e4m3",
     "the same with a scale a token and head, found at run time"},
};
constexpr std::array<std::string_view, 3> kKeys = {"q=", "k=", "v="};
constexpr std::array<std::string_view, 3> kWeightFormats = {"e4m3", "e5m2", "i8"};

std::vector<NamedAttentionScheme> make_table() {
  std::vector<NamedAttentionScheme> table;
  for (const Row& row : kRows) {
    const QuantSpec spec = QuantSpec::parse(row.operands);
    table.push_back({std::string(row.name),
                     {spec, spec, spec, std::string(row.weights)},
                     std::string(row.meaning)});
  }
  return table;
}

// Takes the next word off `text`.
std::string_view take_word(std::string_view& text) {
  const size_t space = text.find(' ');
  const std::string_view word = text.substr(0, space);
  text = space == text.npos ? std::string_view() : text.substr(space + 1);
  return word;
}

QuantSpec parse_operand(std::string_view text, std::string_view word, std::string_view key) {
  OCTAVO_CHECK(word.starts_with(key), "attention scheme '{}': '{}' is not {}SPEC", text, word, key);
  const QuantSpec spec = QuantSpec::parse(word.substr(key.size()));
  OCTAVO_CHECK(!spec.zero_point, "attention scheme '{}': zero points are for weights only", text);
  const bool is_static = spec.timing == QuantSpec::Timing::static_;
  OCTAVO_CHECK(!is_static || (spec.tile_rows == 0 && spec.tile_cols == 0),
               "attention scheme '{}': static {} has tiles; calibration gives one scale a tensor "
               "(*x*)",
               text, spec.text());
  return spec;
}

AttentionScheme parse_scheme(std::string_view text) {
  std::string_view rest = text;
  AttentionScheme scheme;
  scheme.q = parse_operand(text, take_word(rest), kKeys[0]);
  scheme.k = parse_operand(text, take_word(rest), kKeys[1]);
  scheme.v = parse_operand(text, take_word(rest), kKeys[2]);
  if (rest.empty()) return scheme;
  OCTAVO_CHECK(rest.starts_with("p="), "attention scheme '{}': '{}' after v=SPEC is not p=FORMAT",
               text, rest);
  scheme.weights = rest.substr(2);
  OCTAVO_CHECK(std::find(kWeightFormats.begin(), kWeightFormats.end(), scheme.weights) !=
                   kWeightFormats.end(),
               "attention scheme '{}': weights '{}' are not one of: {}", text, scheme.weights,
               fmt::join(kWeightFormats, " "));
  return scheme;
}

}  // namespace

std::string AttentionScheme::text() const {
  return fmt::format("q={} k={} v={}{}{}", q.text(), k.text(), v.text(),
                     weights.empty() ? "" : " p=", weights);
}

const std::vector<NamedAttentionScheme>& attention_scheme_table() {
  static const std::vector<NamedAttentionScheme> table = make_table();
  return table;
}

bool names_attention(std::string_view text) {
  return text.starts_with("attn-") || text.starts_with(kKeys[0]);
}

AttentionScheme find_attention_scheme(std::string_view text) {
  if (text.starts_with(kKeys[0])) return parse_scheme(text);
  std::string names;
  for (const NamedAttentionScheme& row : attention_scheme_table()) {
    if (row.name == text) return row.scheme;
    names += " " + row.name;
  }
  OCTAVO_FAIL(
      invalid_argument,
      "unknown attention scheme '{}'; expected q=SPEC k=SPEC v=SPEC [p=FORMAT] or one of:{}", text,
      names);
}

}  // namespace octavo
