#include "judge/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace octavo {
namespace {

constexpr double kWidth = 560, kHeight = 260, kLeft = 64, kRight = 12, kTop = 34, kBottom = 42;

std::string open_svg(const std::string& title, double height) {
  return fmt::format(
      "<svg viewBox='0 0 {} {}' role='img' aria-label='{}'>"
      "<text x='{}' y='18' class='title'>{}</text>",
      kWidth, height, escape_html(title), kLeft, escape_html(title));
}

struct LogAxis {
  double low = -6, high = 0;  // decades
  double y(double value) const {
    const double decade = value > 0 ? std::log10(value) : low;
    const double t = (std::clamp(decade, low, high) - low) / (high - low);
    return kHeight - kBottom - t * (kHeight - kTop - kBottom);
  }
};

LogAxis fit_axis(const std::vector<Series>& series) {
  double low = 1e300, high = 0;
  for (const Series& s : series)
    for (const Interval& p : s.points) {
      if (p.low > 0) low = std::min(low, p.low);
      if (std::isfinite(p.high)) high = std::max(high, p.high);
    }
  if (high <= 0) return {};
  LogAxis axis{std::floor(std::log10(std::min(low, high))), std::ceil(std::log10(high))};
  if (axis.high <= axis.low) axis.high = axis.low + 1;
  return axis;
}

std::string draw_grid(const LogAxis& axis, size_t points, const std::string& x_label,
                      const std::string& y_label) {
  std::string svg;
  for (double d = axis.low; d <= axis.high + 0.5; d += 1) {
    const double y = axis.y(std::pow(10, d));
    svg += fmt::format(
        "<line x1='{}' x2='{}' y1='{:.1f}' y2='{:.1f}' class='grid'/>"
        "<text x='{}' y='{:.1f}' class='tick' text-anchor='end'>1e{:g}</text>",
        kLeft, kWidth - kRight, y, y, kLeft - 6, y + 4, d);
  }
  const size_t stride = std::max<size_t>(1, points / 10);
  for (size_t i = 0; i < points; i += stride)
    svg += fmt::format("<text x='{:.1f}' y='{}' class='tick' text-anchor='middle'>{}</text>",
                       kLeft + (kWidth - kLeft - kRight) * (points > 1 ? i / (points - 1.0) : 0.5),
                       kHeight - kBottom + 16, i);
  svg += fmt::format("<text x='{}' y='{}' class='label' text-anchor='middle'>{}</text>",
                     (kLeft + kWidth - kRight) / 2, kHeight - 8, escape_html(x_label));
  svg += fmt::format(
      "<text transform='translate(14 {}) rotate(-90)' class='label' text-anchor='middle'>{}</text>",
      (kTop + kHeight - kBottom) / 2, escape_html(y_label));
  return svg;
}

std::string draw_series(const Series& s, const LogAxis& axis, double legend_x) {
  const size_t n = s.points.size();
  const auto x = [&](size_t i) {
    return kLeft + (kWidth - kLeft - kRight) * (n > 1 ? i / (n - 1.0) : 0.5);
  };
  std::string line, band, back;
  for (size_t i = 0; i < n; ++i) {
    line += fmt::format("{:.1f},{:.1f} ", x(i), axis.y(s.points[i].mean));
    band += fmt::format("{:.1f},{:.1f} ", x(i), axis.y(s.points[i].high));
    back = fmt::format("{:.1f},{:.1f} ", x(i), axis.y(s.points[i].low)) + back;
  }
  return fmt::format(
      "<polygon points='{}{}' fill='{}' opacity='.15'/>"
      "<polyline points='{}' fill='none' stroke='{}' stroke-width='2'/>"
      "<rect x='{}' y='{}' width='12' height='4' fill='{}'/>"
      "<text x='{}' y='{}' class='tick'>{}</text>",
      band, back, s.colour, line, s.colour, legend_x, kTop - 8, s.colour, legend_x + 16, kTop - 3,
      escape_html(s.name));
}

}  // namespace

std::string escape_html(const std::string& text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string line_plot(const std::string& title, const std::string& x_label,
                      const std::string& y_label, const std::vector<Series>& series) {
  size_t points = 0;
  for (const Series& s : series) points = std::max(points, s.points.size());
  if (points == 0) return {};
  const LogAxis axis = fit_axis(series);
  std::string svg = open_svg(title, kHeight) + draw_grid(axis, points, x_label, y_label);
  double legend = kLeft + 240;
  for (const Series& s : series) {
    if (s.points.empty()) continue;
    svg += draw_series(s, axis, legend);
    legend += 90;
  }
  return svg + "</svg>";
}

std::string strip_plot(const std::string& title, const std::string& x_label,
                       const std::vector<Strip>& strips) {
  double low = 1e300, high = -1e300;
  for (const Strip& s : strips)
    for (double v : s.values)
      if (std::isfinite(v)) {
        low = std::min(low, v);
        high = std::max(high, v);
      }
  if (low > high) return {};
  low = std::floor(low / 5) * 5;
  high = std::max(low + 5, std::ceil(high / 5) * 5);
  const double row = 34, height = kTop + row * static_cast<double>(strips.size()) + kBottom;
  const auto x = [&](double v) {
    return kLeft + (std::clamp(v, low, high) - low) / (high - low) * (kWidth - kLeft - kRight);
  };
  std::string svg = open_svg(title, height);
  const double tick = std::max(5.0, std::ceil((high - low) / 50) * 5);
  for (double v = low; v <= high + 0.01; v += tick)
    svg += fmt::format(
        "<line x1='{0:.1f}' x2='{0:.1f}' y1='{1}' y2='{2}' class='grid'/>"
        "<text x='{0:.1f}' y='{3}' class='tick' text-anchor='middle'>{4:g}</text>",
        x(v), kTop, height - kBottom, height - kBottom + 16, v);
  double y = kTop + row / 2;
  for (const Strip& s : strips) {
    svg += fmt::format("<text x='{}' y='{:.1f}' class='tick' text-anchor='end'>{}</text>",
                       kLeft - 6, y + 4, escape_html(s.name));
    for (size_t i = 0; i < s.values.size(); ++i)  // spread by index, so that dots stay apart
      svg += fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='2.5' fill='{}' opacity='.6'/>",
                         x(s.values[i]), y + static_cast<double>(i * 7 % 17) - 8, s.colour);
    y += row;
  }
  return svg + fmt::format("<text x='{}' y='{}' class='label' text-anchor='middle'>{}</text></svg>",
                           (kLeft + kWidth - kRight) / 2, height - 8, escape_html(x_label));
}

}  // namespace octavo
