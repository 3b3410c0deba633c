// The judge's report as one HTML file: no scripts, no links, pictures and plots inline.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "io/png.h"
#include "judge/html.h"
#include "judge/judge.h"
#include "judge/plot.h"
#include "judge/statistics.h"
#include "sample/picture.h"

namespace octavo {
namespace {

struct Look {
  const char *model, *label, *colour;
};
constexpr Look kLooks[] = {{"test", "test model", "#c2410c"},
                           {"noise", "noise + ε floor", "#2563eb"},
                           {"bf16", "bf16 floor", "#15803d"}};

const Look& look(const std::string& model) {
  for (const Look& l : kLooks)
    if (model == l.model) return l;
  return kLooks[0];
}

std::string base64(const std::string& bytes) {
  static const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t v = 0;
    for (size_t j = 0; j < 3; ++j) v = v << 8 | (j < n ? static_cast<uint8_t>(bytes[i + j]) : 0);
    for (size_t j = 0; j < 4; ++j) out += j <= n ? digits[v >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

std::string picture_figure(std::vector<uint8_t> rgb, int64_t width, int64_t height,
                           const std::string& caption) {
  return fmt::format(
      "<figure><img alt='{0}' "
      "src='data:image/png;base64,{1}'><figcaption>{0}</figcaption></figure>",
      escape_html(caption), base64(encode_png({width, height, std::move(rgb)}, {})));
}

// |reference - test| over the three channels, `gain` times, white where it is largest.
std::vector<uint8_t> error_map(const Tensor& a, const Tensor& b, double gain) {
  const int64_t pixels = a.dim(1) * a.dim(2);
  std::vector<uint8_t> rgb(pixels * 3);
  for (int64_t i = 0; i < pixels; ++i)
    for (int64_t c = 0; c < 3; ++c) {
      const double e = std::abs(a.as<float>()[c * pixels + i] - b.as<float>()[c * pixels + i]);
      rgb[i * 3 + c] = static_cast<uint8_t>(std::lround(std::min(255.0, e * 127.5 * gain)));
    }
  return rgb;
}

std::string picture_rows(const SetReport& set) {
  constexpr double kGain = 8;
  std::string html = "<div class='pics'>";
  for (const PictureRow& row : set.pictures) {
    const int64_t h = row.reference.dim(1), w = row.reference.dim(2);
    html += fmt::format(
        "<div class='card'><div class='cap'><b>{}</b> · seed {} · PSNR {:.2f} dB · SSIM "
        "{:.4f}</div>"
        "<div class='row'>{}{}{}</div></div>",
        escape_html(row.prompt.empty() ? "(empty prompt)" : row.prompt), row.seed, row.psnr,
        row.ssim, picture_figure(to_rgb8(row.reference), w, h, "reference"),
        picture_figure(to_rgb8(row.test), w, h, "test"),
        picture_figure(error_map(row.reference, row.test, kGain), w, h,
                       fmt::format("error × {:g}", kGain)));
  }
  return html + "</div>";
}

std::string figure_table(const SetReport& set) {
  std::string html =
      "<div class='card'><table><tr><th class='l'>model</th><th>pictures</th><th>PSNR mean, dB</th>"
      "<th>95 %</th><th>of mean error</th><th>median</th><th>worst</th><th>SSIM mean</th>"
      "<th>95 %</th><th>worst</th></tr>";
  for (const Comparison& c : set.comparisons) {
    const Interval p = psnr_interval(c), s = ssim_interval(c);
    html += fmt::format(
        "<tr class='{}'><td class='l'>{}</td><td>{}</td><td>{:.2f}</td><td>{:.2f} – {:.2f}</td>"
        "<td>{:.2f}</td><td>{:.2f}</td><td>{:.2f}</td><td>{:.4f}</td><td>{:.4f} – {:.4f}</td>"
        "<td>{:.4f}</td></tr>",
        c.name, look(c.name).label, c.samples.size(), p.mean, p.low, p.high, psnr_of_mean_error(c),
        figure(c, "psnr.median"), figure(c, "psnr.min"), s.mean, s.low, s.high,
        figure(c, "ssim.min"));
  }
  html += "</table>";
  for (bool teacher : {true, false}) {
    const Worst w = worst_step(set.comparisons.front(), teacher);
    if (w.step >= 0)
      html += fmt::format(
          "<p class='soft'>Worst x0 error, {}: <b>{:.3g}</b> at step {} of “{}” (seed {}).</p>",
          teacher ? "teacher-forced" : "free-running", w.error, w.step, escape_html(w.prompt),
          w.seed);
  }
  return html + "</div>";
}

std::string plots(const SetReport& set) {
  std::vector<Series> teacher, free;
  std::vector<Strip> spread;
  for (const Comparison& c : set.comparisons) {
    const Look& l = look(c.name);
    teacher.push_back({c.name, l.colour, step_errors(c, true)});
    free.push_back({c.name, l.colour, step_errors(c, false)});
    Strip strip{c.name, l.colour, {}};
    for (const SampleResult& s : c.samples) strip.values.push_back(s.psnr);
    spread.push_back(std::move(strip));
  }
  std::string html = "<div class='plots'>";
  for (const std::string& plot :
       {line_plot("Teacher-forced x0 error", "step", "relative L2", teacher),
        line_plot("Free-running x0 error", "step", "relative L2", free),
        strip_plot("Decoded PSNR of every picture", "dB", spread)})
    if (!plot.empty()) html += "<div class='card'>" + plot + "</div>";
  return html + "</div>";
}

std::string gate_table(const Report& report) {
  if (report.gates.empty()) return "<p class='soft'>No gate was applied.</p>";
  std::string html =
      "<table><tr><th class='l'>rule</th><th>found</th><th class='l'>result</th></tr>";
  for (const auto& g : report.gates)
    html += fmt::format("<tr><td class='l'>{}</td><td>{:.4g}</td><td class='l'>{}</td></tr>",
                        escape_html(g.rule), g.found, g.passed ? "pass" : "FAIL");
  return html + "</table>";
}

std::string layer_table(const Report& report) {
  std::string html = fmt::format(
      "<div class='card'><details><summary>Which kernel ran each of the {} layers</summary><table>"
      "<tr><th class='l'>layer</th><th class='l'>op</th><th class='l'>kernel</th>"
      "<th class='l'>precision</th></tr>",
      report.layers.size());
  for (const LayerAttestation& l : report.layers)
    html += fmt::format(
        "<tr><td class='l'>{}/{}</td><td class='l'>{}</td><td class='l'>{}</td>"
        "<td class='l'>{}</td></tr>",
        escape_html(l.component), escape_html(l.layer), l.op, l.kernel, escape_html(l.precision));
  return html + "</table></details></div>";
}

std::string head(const Report& report) {
  const bool judged = !report.gates.empty();
  return fmt::format(
      "<h1>What quantization cost</h1><p><span class='verdict {}'>{}</span></p>"
      "<div class='card'><p><b>test</b> {}<br><b>reference</b> {}</p>"
      "<p class='soft'>{} · octavo {} · {}</p>{}</div>"
      "<p class='soft'>Both models start from the same noise and run the model's own sampler. "
      "Teacher-forced: the test model is given the reference's latents, so each step's error is "
      "its "
      "own. Free-running: errors pass from step to step, as users see them. Two floors stand "
      "beside: "
      "the reference with ε·N(0, 1) added to its start, and the reference in bf16.</p>",
      !judged ? "none" : (report.passed() ? "pass" : "fail"),
      !judged ? "not judged" : (report.passed() ? "passed" : "failed"), escape_html(report.test),
      escape_html(report.reference), escape_html(report.schedule), report.tool_version,
      escape_html(report.device), gate_table(report));
}

}  // namespace

std::string to_html(const Report& report) {
  std::string html = head(report);
  for (const SetReport& set : report.sets) {
    html += fmt::format("<h2>Prompts: {}</h2>", escape_html(set.name));
    html += figure_table(set) + plots(set);
    html += "<p class='soft'>The worst pictures of this set:</p>" + picture_rows(set);
  }
  html += "<h2>Attestation</h2>" + layer_table(report);
  if (!report.recipe.empty())
    html += "<div class='card'><details><summary>Recipe</summary><pre>" +
            escape_html(report.recipe) + "</pre></details></div>";
  return html_page("octavo judge", html);
}

}  // namespace octavo
