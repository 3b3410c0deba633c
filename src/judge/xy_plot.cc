#include "judge/xy_plot.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "judge/plot.h"

namespace octavo {
namespace {

constexpr double kWidth = 560, kHeight = 300, kLeft = 64, kRight = 16, kTop = 40, kBottom = 42;
constexpr int kTicks = 6;

struct Scale {
  double low = 0, high = 1, from = 0, to = 1;
  bool log = false;

  double inner(double value) const { return log ? std::log10(value) : value; }
  double at(double value) const { return from + (inner(value) - low) / (high - low) * (to - from); }
};

bool drawable(const XyPoint& p, bool log_y) {
  return std::isfinite(p.x) && std::isfinite(p.y) && (!log_y || p.y > 0);
}

// A step of 1, 2 or 5 times a power of ten that cuts `span` in at most kTicks.
double nice_step(double span) {
  const double rough = span / kTicks, power = std::pow(10, std::floor(std::log10(rough)));
  for (double step : {1.0, 2.0, 5.0}) {
    if (step * power >= rough) return step * power;
  }
  return 10 * power;
}

void widen(Scale& scale, double value) {
  scale.low = std::min(scale.low, scale.inner(value));
  scale.high = std::max(scale.high, scale.inner(value));
}

void round_out(Scale& scale) {
  if (scale.high <= scale.low)
    scale.high = scale.low + (scale.log ? 1 : std::max(1e-9, std::fabs(scale.low) * 0.1));
  const double step = scale.log ? 1 : nice_step(scale.high - scale.low);
  scale.low = std::floor(scale.low / step) * step;
  scale.high = std::ceil(scale.high / step) * step;
}

std::string draw_grid(const Scale& x, const Scale& y, const XyAxes& axes) {
  std::string svg;
  const double y_step =
      y.log ? std::max(1.0, std::ceil((y.high - y.low) / kTicks)) : nice_step(y.high - y.low);
  for (double v = y.low; v <= y.high + y_step * 1e-6; v += y_step) {
    const double at = y.from + (v - y.low) / (y.high - y.low) * (y.to - y.from);
    svg += fmt::format(
        "<line x1='{}' x2='{}' y1='{:.1f}' y2='{:.1f}' class='grid'/>"
        "<text x='{}' y='{:.1f}' class='tick' text-anchor='end'>{}</text>",
        kLeft, kWidth - kRight, at, at, kLeft - 6, at + 4,
        y.log ? fmt::format("1e{:g}", v) : fmt::format("{:.6g}", v));
  }
  const double x_step = nice_step(x.high - x.low);
  for (double v = x.low; v <= x.high + x_step * 1e-6; v += x_step) {
    svg += fmt::format("<text x='{:.1f}' y='{}' class='tick' text-anchor='middle'>{:.6g}</text>",
                       x.at(v), kHeight - kBottom + 16, std::fabs(v) < x_step * 1e-6 ? 0 : v);
  }
  svg += fmt::format("<text x='{}' y='{}' class='label' text-anchor='middle'>{}</text>",
                     (kLeft + kWidth - kRight) / 2, kHeight - 8, escape_html(axes.x_label));
  return svg + fmt::format(
                   "<text transform='translate(14 {}) rotate(-90)' class='label' "
                   "text-anchor='middle'>{}</text>",
                   (kTop + kHeight - kBottom) / 2, escape_html(axes.y_label));
}

std::string draw_series(const XySeries& series, const Scale& x, const Scale& y, double legend) {
  std::string line, marks;
  for (const XyPoint& p : series.points) {
    if (!drawable(p, y.log)) continue;
    line += fmt::format("{:.1f},{:.1f} ", x.at(p.x), y.at(p.y));
    if (p.low < p.high && (!y.log || p.low > 0)) {
      marks += fmt::format(
          "<line x1='{0:.1f}' x2='{0:.1f}' y1='{1:.1f}' y2='{2:.1f}' stroke='{3}' "
          "stroke-width='2'/>",
          x.at(p.x), y.at(p.low), y.at(p.high), series.colour);
    }
    marks += fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='{}' fill='{}'/>", x.at(p.x), y.at(p.y),
                         series.line ? 2 : 4, series.colour);
    if (!p.label.empty()) {
      marks += fmt::format("<text x='{:.1f}' y='{:.1f}' class='tick'>{}</text>", x.at(p.x) + 6,
                           y.at(p.y) + 12, escape_html(p.label));
    }
  }
  if (series.line) {
    marks = fmt::format("<polyline points='{}' fill='none' stroke='{}' stroke-width='1.5'/>", line,
                        series.colour) +
            marks;
  }
  if (series.name.empty()) return marks;
  return marks + fmt::format(
                     "<rect x='{}' y='{}' width='12' height='4' fill='{}'/>"
                     "<text x='{}' y='{}' class='tick'>{}</text>",
                     legend, kTop - 12, series.colour, legend + 16, kTop - 7,
                     escape_html(series.name));
}

}  // namespace

std::string xy_plot(const XyAxes& axes, const std::vector<XySeries>& series) {
  Scale x{INFINITY, -INFINITY, kLeft, kWidth - kRight, false};
  Scale y{INFINITY, -INFINITY, kHeight - kBottom, kTop, axes.log_y};
  for (const XySeries& s : series) {
    for (const XyPoint& p : s.points) {
      if (!drawable(p, axes.log_y)) continue;
      widen(x, p.x);
      widen(y, p.y);
      if (p.low < p.high && (!axes.log_y || p.low > 0)) {
        widen(y, p.low);
        widen(y, p.high);
      }
    }
  }
  if (!(x.low <= x.high)) return {};
  round_out(x);
  round_out(y);
  std::string svg = fmt::format(
      "<svg viewBox='0 0 {} {}' role='img' aria-label='{}'>"
      "<text x='{}' y='16' class='title'>{}</text>",
      kWidth, kHeight, escape_html(axes.title), kLeft, escape_html(axes.title));
  svg += draw_grid(x, y, axes);
  double legend = kLeft;
  for (const XySeries& s : series) {
    svg += draw_series(s, x, y, legend);
    legend += 24 + 7.0 * static_cast<double>(s.name.size());
  }
  return svg + "</svg>";
}

}  // namespace octavo
