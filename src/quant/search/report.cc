// What a search found, for the terminal and as a page.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "judge/html.h"
#include "judge/plot.h"
#include "judge/xy_plot.h"
#include "quant/search/search.h"

namespace octavo {
namespace {

constexpr size_t kWorstShown = 8;

struct LayerRow {
  size_t layer = 0;
  double share = 0;  // of the predicted error, mean over the pictures
  const CandidateFigures* figures = nullptr;
};

size_t place_in(const SearchedLayer& layer, size_t candidate) {
  return static_cast<size_t>(std::find(layer.possible.begin(), layer.possible.end(), candidate) -
                             layer.possible.begin());
}

// The dearest first.
std::vector<LayerRow> layer_rows(const SearchResult& result, const std::vector<size_t>& choice) {
  std::vector<LayerRow> rows;
  const std::vector<double> shares = result.sensitivity.shares();
  double sum = 0;
  for (size_t l = 0; l < result.layers.size(); ++l) {
    LayerRow row{l, 0, nullptr};
    if (!result.sensitivity.layers.empty()) {
      const LayerSensitivity& layer = result.sensitivity.layers[l];
      row.figures = &layer.figures[place_in(result.layers[l], choice[l])];
      const double reference = layer.figures[layer.reference].error;
      row.share = reference > 0 ? shares[l] * row.figures->error / reference : 0;
      sum += row.share;
    }
    rows.push_back(row);
  }
  for (LayerRow& row : rows) row.share = sum > 0 ? row.share / sum : 0;
  std::stable_sort(rows.begin(), rows.end(),
                   [](const LayerRow& a, const LayerRow& b) { return a.share > b.share; });
  return rows;
}

std::string cost_text(Objective objective, double cost) {
  return objective == Objective::bytes ? fmt::format("{:.0f} kB", cost / 1e3)
                                       : fmt::format("{:.3f} ms", cost * 1e3);
}

std::string round_line(const SearchOptions& options, const Round& round) {
  const Verification& v = round.verification;
  return fmt::format(
      "{}, {:.2f} bits a weight: predicted {:.2f} dB; measured on {} prompts {:.2f} dB, 95 % "
      "[{:.2f}, {:.2f}]: {}",
      cost_text(options.objective, round.cost), round.bits, v.predicted, v.prompts.size(),
      v.psnr.mean, v.psnr.low, v.psnr.high, v.keeps(*options.promise) ? "kept" : "not kept");
}

std::string candidate_counts(const SearchOptions& options, const SearchResult& result) {
  std::string text;
  for (size_t c = 0; c < options.candidates.size(); ++c) {
    const auto n = std::count(result.candidates.begin(), result.candidates.end(), c);
    text += fmt::format("  {:3d} layers  {}\n", n, options.candidates[c].text);
  }
  return text;
}

std::string times_line(const SearchResult& result) {
  return fmt::format("step: {:.3f} ms in float, {:.3f} ms with the recipe\n",
                     result.step_before * 1e3, result.step_after * 1e3);
}

std::string pareto_plot(const SearchOptions& options, const SearchResult& result) {
  const bool bytes = options.objective == Objective::bytes;
  const auto x = [&](double bits, double cost) { return bytes ? bits : cost * 1e3; };
  XySeries predicted{"predicted", "#2563eb", {}, true};
  for (const ParetoPoint& p : result.pareto) {
    predicted.points.push_back({x(p.bits, p.cost), p.psnr, 0, 0, {}});
  }
  XySeries verified{"verified, with 95 % interval", "#c2410c", {}, false};
  for (size_t r = 0; r < result.rounds.size(); ++r) {
    const Round& round = result.rounds[r];
    const Interval& i = round.verification.psnr;
    verified.points.push_back(
        {x(round.bits, round.cost), i.mean, i.low, i.high, fmt::format("round {}", r + 1)});
  }
  XySeries bound{options.promise->text(), "#5d6878", {}, true};
  if (!predicted.points.empty()) {
    for (const XyPoint* p : {&predicted.points.front(), &predicted.points.back()}) {
      bound.points.push_back({p->x, options.promise->psnr, 0, 0, {}});
    }
  }
  return xy_plot({"PSNR against cost", bytes ? "bits a weight" : "ms a step, searched layers",
                  "mean PSNR, dB", false},
                 {predicted, verified, bound});
}

std::string share_plot(const std::vector<LayerRow>& rows) {
  XySeries shares{"", "#15803d", {}, true};
  double sum = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    sum += 100 * rows[i].share;
    shares.points.push_back({static_cast<double>(i + 1), sum, 0, 0, {}});
  }
  return xy_plot({"Error of the dearest layers together", "layers, the dearest first",
                  "% of the error", false},
                 {shares});
}

std::string layer_table(const SearchOptions& options, const SearchResult& result,
                        const std::vector<size_t>& choice, const std::vector<LayerRow>& rows) {
  const bool estimated = !result.sensitivity.layers.empty();
  const bool timed = !result.latency.layers.empty();
  std::string html =
      "<div class='card'><table><tr><th class='l'>layer</th><th class='l'>choice"
      "</th>";
  if (estimated)
    html += "<th>error share</th><th>local error</th><th>weight SQNR, dB</th><th>bytes</th>";
  for (size_t c = 0; timed && c < options.candidates.size(); ++c)
    html += fmt::format("<th>{}, µs</th>", escape_html(options.candidates[c].text));
  html += "</tr>";
  for (const LayerRow& row : rows) {
    const SearchedLayer& layer = result.layers[row.layer];
    html += fmt::format("<tr><td class='l'>{}</td><td class='l'>{}</td>", escape_html(layer.name()),
                        escape_html(options.candidates[choice[row.layer]].text));
    if (estimated)
      html += fmt::format("<td>{:.1f} %</td><td>{:.2e}</td><td>{:.1f}</td><td>{:.0f}</td>",
                          100 * row.share, row.figures->relative, row.figures->weight_sqnr,
                          row.figures->bytes);
    for (size_t c = 0; timed && c < options.candidates.size(); ++c) {
      const size_t place = place_in(layer, c);
      html += place < layer.possible.size()
                  ? fmt::format("<td>{:.1f}</td>",
                                result.latency.layers[row.layer][place].seconds * 1e6)
                  : "<td>not possible</td>";
    }
    html += "</tr>";
  }
  return html + "</table></div>";
}

std::string rounds_table(const SearchOptions& options, const SearchResult& result) {
  std::string html =
      "<div class='card'><table><tr><th>round</th><th>cost</th><th>bits a weight</th>"
      "<th>predicted, dB</th><th>prompts</th><th>measured, dB</th><th>95 %</th>"
      "<th class='l'>promise</th></tr>";
  for (size_t r = 0; r < result.rounds.size(); ++r) {
    const Round& round = result.rounds[r];
    const Verification& v = round.verification;
    html += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{:.2f}</td><td>{:.2f}</td><td>{}</td><td>{:.2f}</td>"
        "<td>{:.2f} – {:.2f}</td><td class='l'>{}</td></tr>",
        r + 1, cost_text(options.objective, round.cost), round.bits, v.predicted, v.prompts.size(),
        v.psnr.mean, v.psnr.low, v.psnr.high, v.keeps(*options.promise) ? "kept" : "not kept");
  }
  return html + "</table></div>";
}

// The choice that tables are about: the best round's, else the last one's.
const std::vector<size_t>& shown_choice(const SearchResult& result) {
  return result.candidates.empty() ? result.rounds.back().candidates : result.candidates;
}

std::string promise_section(const SearchOptions& options, const SearchResult& result) {
  std::string html =
      fmt::format("<p><span class='verdict {}'>{}: {}</span></p>", result.recipe ? "pass" : "fail",
                  escape_html(options.promise->text()), result.recipe ? "kept" : "cannot be kept");
  if (!result.recipe)
    html +=
        "<div class='card'><pre>" + escape_html(explain_failure(options, result)) + "</pre></div>";
  html += "<div class='plots'><div class='card'>" + pareto_plot(options, result) +
          "</div><div class='card'>" + share_plot(layer_rows(result, shown_choice(result))) +
          "</div></div><h2>Verification</h2>" + rounds_table(options, result);
  return html + fmt::format(
                    "<p class='soft'>Predicted: layers' errors add (each measured alone, scaled by "
                    "its output error under other candidates). All layers together under their "
                    "reference candidates: {:.2f} dB predicted, {:.2f} dB measured; predictions "
                    "are corrected by the difference.</p>",
                    result.together_predicted, result.together_measured);
}

}  // namespace

std::string explain_failure(const SearchOptions& options, const SearchResult& result) {
  const Round& last = result.rounds.back();
  std::string text = fmt::format(
      "{} cannot be kept with these candidates: the most accurate one for every layer ({:.2f} bits "
      "a weight) was predicted to reach {:.2f} dB and reached {:.2f} dB, 95 % [{:.2f}, {:.2f}], on "
      "{} prompts.\nWhat is left of the error is in\n",
      options.promise->text(), last.bits, last.verification.predicted, last.verification.psnr.mean,
      last.verification.psnr.low, last.verification.psnr.high, last.verification.prompts.size());
  const std::vector<LayerRow> rows = layer_rows(result, last.candidates);
  for (size_t i = 0; i < std::min(kWorstShown, rows.size()); ++i) {
    const SearchedLayer& layer = result.layers[rows[i].layer];
    text += fmt::format("  {:5.1f} %  {}  ({}, output error {:.1e})\n", 100 * rows[i].share,
                        layer.name(), options.candidates[last.candidates[rows[i].layer]].text,
                        rows[i].figures->relative);
  }
  return text +
         "Add more accurate candidates (more bits, smaller groups, round=gptq, keep), or ask "
         "for less.\n";
}

std::string summary(const SearchOptions& options, const SearchResult& result) {
  std::string text;
  for (const auto& [layer, why] : result.left_out)
    text += fmt::format("left in float: {}: {}\n", layer, why);
  if (options.promise) {
    text += fmt::format(
        "all layers under their reference candidates: {:.2f} dB predicted, {:.2f} dB measured\n",
        result.together_predicted, result.together_measured);
    for (size_t r = 0; r < result.rounds.size(); ++r)
      text += fmt::format("round {}: {}\n", r + 1, round_line(options, result.rounds[r]));
    if (!result.recipe) return text + explain_failure(options, result);
    text += fmt::format("chosen: round {}\n", result.best + 1);
  }
  text += candidate_counts(options, result);
  if (options.objective == Objective::latency) text += times_line(result);
  return text;
}

std::string to_html(const std::string& model, const SearchOptions& options,
                    const SearchResult& result) {
  std::string html = fmt::format("<h1>Search for the least {}</h1><p class='soft'>{}</p>",
                                 name(options.objective), escape_html(model));
  if (options.promise) html += promise_section(options, result);
  if (options.objective == Objective::latency && result.recipe)
    html += "<p>" + escape_html(times_line(result)) + "</p>";
  const std::vector<size_t>& choice = shown_choice(result);
  html += "<h2>Layers</h2>" + layer_table(options, result, choice, layer_rows(result, choice));
  if (result.recipe)
    html += "<div class='card'><details><summary>Recipe</summary><pre>" +
            escape_html(result.recipe->text()) + "</pre></details></div>";
  return html_page("octavo search", html);
}

}  // namespace octavo
