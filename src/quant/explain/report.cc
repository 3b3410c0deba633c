// An explanation for the terminal and as a page.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "judge/html.h"
#include "judge/plot.h"
#include "judge/xy_plot.h"
#include "quant/explain/explain.h"

namespace octavo {
namespace {

constexpr size_t kPlotted = 12;  // layers whose input's ranges are drawn
constexpr size_t kChannels = 5;  // outliers that are named
constexpr size_t kWordsShown = 4;

std::string share_text(const Explanation& e) {
  if (e.share == ShareKind::measured)
    return fmt::format(
        "Shares of the error are measured: each layer alone quantized, {} pictures. The layers' "
        "errors added up predict {:.2f} dB; the whole has {:.2f} dB.",
        e.pictures, e.psnr_added, e.psnr);
  if (e.share == ShareKind::estimated)
    return "Shares of the error are estimated: as if every layer's relative output error cost the "
           "picture the same (with --prompts they are measured).";
  return "Shares of the error are not known: they take --reference and --stats, or --reference and "
         "--prompts.";
}

std::string gain_text(const WordGain& gain) {
  return gain.impossible.empty() ? fmt::format("{} {:+.1f} dB", gain.word, gain.db())
                                 : fmt::format("{} (needed: {})", gain.word, gain.impossible);
}

std::string gains_text(const ExplainedLayer& layer, size_t most) {
  std::string text;
  for (size_t i = 0; i < std::min(most, layer.gains.size()); ++i)
    text += (i ? ", " : "") + gain_text(layer.gains[i]);
  return text;
}

std::string outliers_text(const ExplainedLayer& layer) {
  if (layer.channels == 0) return "";
  std::string text = fmt::format("{} of {}", layer.outliers.size(), layer.channels);
  for (size_t i = 0; i < std::min(kChannels, layer.outliers.size()); ++i)
    text += fmt::format("{}{} ({:.0f}×)", i ? ", " : ": ", layer.outliers[i].channel,
                        layer.outliers[i].ratio);
  return text;
}

std::string or_dash(const std::optional<double>& value, const char* unit, int digits) {
  return value ? fmt::format("{:.{}f}{}", *value, digits, unit) : "–";
}

std::string layer_table(const Explanation& e) {
  std::string html =
      "<div class='card'><table><tr><th class='l'>layer</th><th class='l'>scheme</th>"
      "<th class='l'>words</th><th>bits</th><th>weight SQNR, dB</th><th>output error, dB</th>"
      "<th>share</th><th>alone, dB</th><th class='l'>outlier channels</th>"
      "<th class='l'>each word lowered the output error by</th></tr>";
  for (const ExplainedLayer& l : e.layers) {
    std::optional<double> share, error;
    if (l.share) share = 100 * *l.share;
    if (l.local && l.local->error > 0) error = 10 * std::log10(l.local->relative());
    html += fmt::format(
        "<tr><td class='l'>{}</td><td class='l'>{}</td><td class='l'>{}</td><td>{:.2f}</td>"
        "<td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class='l'>{}</td><td class='l'>{}</td>"
        "</tr>",
        escape_html(l.name), escape_html(l.scheme), escape_html(l.words), l.bits,
        or_dash(l.weight_sqnr, "", 1), or_dash(error, "", 1), or_dash(share, " %", 1),
        or_dash(l.alone_psnr, "", 1), outliers_text(l), escape_html(gains_text(l, l.gains.size())));
  }
  return html + "</table></div>";
}

std::string over_layers(const Explanation& e, const std::string& title, const std::string& label,
                        const std::function<std::optional<double>(const ExplainedLayer&)>& value) {
  XySeries series{"", "#c2410c", {}, false};
  for (size_t i = 0; i < e.layers.size(); ++i) {
    const std::optional<double> v = value(e.layers[i]);
    if (v) series.points.push_back({static_cast<double>(i + 1), *v, 0, 0, {}});
  }
  const std::string plot = xy_plot({title, "layer, in the table's order", label, false}, {series});
  return plot.empty() ? plot : "<div class='card'>" + plot + "</div>";
}

std::string range_plot(const ExplainedLayer& layer) {
  XySeries met{"largest |input|", "#2563eb", {}, true};
  XySeries held{"largest the scale holds", "#c2410c", {}, true};
  for (const StepRange& s : layer.steps) {
    met.points.push_back({static_cast<double>(s.step), s.absmax, 0, 0, {}});
    if (s.largest > 0) held.points.push_back({static_cast<double>(s.step), s.largest, 0, 0, {}});
  }
  std::vector<XySeries> series{met};
  if (!held.points.empty()) series.push_back(held);
  const std::string plot = xy_plot({layer.name, "denoising step", "magnitude", true}, series);
  return plot.empty() ? plot : "<div class='card'>" + plot + "</div>";
}

// All layers together: the mean of each word in dB, over the layers that have it.
std::vector<std::pair<std::string, std::pair<double, int>>> mean_gains(const Explanation& e) {
  std::vector<std::pair<std::string, std::pair<double, int>>> means;
  for (const ExplainedLayer& layer : e.layers) {
    for (const WordGain& gain : layer.gains) {
      if (!gain.impossible.empty()) continue;
      auto at = std::find_if(means.begin(), means.end(),
                             [&](const auto& entry) { return entry.first == gain.word; });
      if (at == means.end()) at = means.insert(means.end(), {gain.word, {0, 0}});
      at->second.first += gain.db();
      ++at->second.second;
    }
  }
  for (auto& [word, sum] : means) sum.first /= sum.second;
  return means;
}

std::string words_table(const Explanation& e) {
  const auto means = mean_gains(e);
  if (means.empty()) return {};
  std::string html =
      "<h2>What the words bought</h2><div class='card'><table><tr><th class='l'>word</th>"
      "<th>layers</th><th>output error lowered by, mean dB</th></tr>";
  for (const auto& [word, mean] : means)
    html += fmt::format("<tr><td class='l'>{}</td><td>{}</td><td>{:.2f}</td></tr>",
                        escape_html(word), mean.second, mean.first);
  return html +
         "</table><p class='soft'>Each layer was solved again without the word, all others as they "
         "are; errors are those of its output on recorded inputs.</p></div>";
}

}  // namespace

std::string summary(const Explanation& e) {
  std::string text = share_text(e) + "\n";
  if (e.other_stats) text += "note: these are not the statistics that it was made with\n";
  text += fmt::format("{:<58} {:>6} {:>9} {:>9} {:>7}  {}\n", "layer", "bits", "SQNR dB",
                      "error dB", "share", "outlier channels; what the words bought");
  for (const ExplainedLayer& l : e.layers) {
    std::optional<double> share, error;
    if (l.share) share = 100 * *l.share;
    if (l.local && l.local->error > 0) error = 10 * std::log10(l.local->relative());
    const std::string gains = gains_text(l, kWordsShown);
    text +=
        fmt::format("{:<58} {:>6.2f} {:>9} {:>9} {:>7}  {}{}{}\n", l.name, l.bits,
                    or_dash(l.weight_sqnr, "", 1), or_dash(error, "", 1), or_dash(share, " %", 1),
                    outliers_text(l), gains.empty() ? "" : "; ", gains);
  }
  for (const auto& [word, mean] : mean_gains(e))
    text += fmt::format("{}: {:+.2f} dB of output error on average over {} layers\n", word,
                        -mean.first, mean.second);
  for (const auto& [name, scheme] : e.attentions) text += fmt::format("{}: {}\n", name, scheme);
  return text;
}

std::string to_html(const Explanation& e) {
  std::string html = fmt::format(
      "<h1>What quantization did to each layer</h1><p class='soft'>{} · octavo {}</p><p>{}</p>{}",
      escape_html(e.artifact), escape_html(e.tool_version), share_text(e),
      e.other_stats ? "<p>These are not the statistics that it was made with.</p>" : "");
  html += "<div class='plots'>";
  html += over_layers(e, "Weight SQNR", "dB", [](const auto& l) { return l.weight_sqnr; });
  html += over_layers(e, "Output error", "dB, relative", [](const auto& l) {
    return l.local && l.local->error > 0
               ? std::optional<double>(10 * std::log10(l.local->relative()))
               : std::nullopt;
  });
  html += over_layers(e, "Share of the error", "%", [](const auto& l) {
    return l.share ? std::optional<double>(100 * *l.share) : std::nullopt;
  });
  html += "</div>" + words_table(e) + "<h2>Layers</h2>" + layer_table(e);
  std::string ranges;
  for (size_t i = 0; i < std::min(kPlotted, e.layers.size()); ++i) {
    if (e.layers[i].steps.size() > 1) ranges += range_plot(e.layers[i]);
  }
  if (!ranges.empty())
    html +=
        "<h2>Inputs by denoising step</h2><p class='soft'>Of the first layers of the table. "
        "What the scale holds is behind shift, multiplier and rotation, where there are "
        "some.</p><div class='plots'>" +
        ranges + "</div>";
  for (const auto& [name, scheme] : e.attentions)
    html += fmt::format("<p>Attention {}: {}</p>", escape_html(name), escape_html(scheme));
  html += "<div class='card'><details><summary>Recipe</summary><pre>" + escape_html(e.recipe) +
          "</pre></details></div>";
  return html_page("octavo explain", html);
}

}  // namespace octavo
