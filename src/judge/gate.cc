// Gate files: `SET FIGURE >=|<= VALUE`, one rule a line, '#' comments; SET is a prompt set or '*'.
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "base/check.h"
#include "judge/judge.h"
#include "judge/statistics.h"

namespace octavo {
namespace {

double parse_number(const std::string& word, const std::string& where, int line) {
  char* end = nullptr;
  const double value = std::strtod(word.c_str(), &end);
  OCTAVO_CHECK(end != word.c_str() && *end == '\0', "{}:{}: '{}' is not a number", where, line,
               word);
  return value;
}

}  // namespace

Gate Gate::parse(std::string_view text, const std::string& where) {
  Gate gate;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    line = line.substr(0, line.find('#'));
    std::istringstream words(line);
    std::vector<std::string> w;
    for (std::string word; words >> word;) w.push_back(word);
    if (w.empty()) continue;
    OCTAVO_CHECK(w.size() == 4, "{}:{}: {} words, expected 4: SET FIGURE >=|<= VALUE", where,
                 number, w.size());
    const auto& names = figure_names();
    OCTAVO_CHECK(std::find(names.begin(), names.end(), w[1]) != names.end(),
                 "{}:{}: '{}' is no figure; known: {}", where, number, w[1], fmt::join(names, " "));
    OCTAVO_CHECK(w[2] == ">=" || w[2] == "<=", "{}:{}: '{}' where >= or <= is expected", where,
                 number, w[2]);
    gate.rules.push_back({w[0], w[1], w[2], parse_number(w[3], where, number), number});
  }
  OCTAVO_CHECK(!gate.rules.empty(),
               "{}: a gate without rules passes everything; write at least one", where);
  return gate;
}

Gate Gate::defaults() { return parse("* psnr.mean >= 30\n* ssim.mean >= 0.90\n", "default gate"); }

void apply_gate(const Gate& gate, Report& report) {
  report.gates.clear();
  for (const Gate::Rule& rule : gate.rules) {
    bool applied = false;
    for (const SetReport& set : report.sets) {
      if (rule.set != "*" && rule.set != set.name) continue;
      applied = true;
      const double found = figure(set.comparisons.front(), rule.measure);
      const bool passed = rule.op == ">=" ? found >= rule.value : found <= rule.value;
      report.gates.push_back(
          {fmt::format("{} {} {} {:g}", set.name, rule.measure, rule.op, rule.value), found,
           passed});
    }
    std::vector<std::string> sets;
    for (const SetReport& set : report.sets) sets.push_back(set.name);
    OCTAVO_CHECK(applied, "gate line {}: there is no prompt set '{}'; this run has: {}", rule.line,
                 rule.set, fmt::join(sets, " "));
  }
}

}  // namespace octavo
