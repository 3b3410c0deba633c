#pragma once
// Inline SVG line plots for the report: log y axis, shaded intervals.
#include <string>
#include <vector>

#include "judge/measure.h"

namespace octavo {

struct Series {
  std::string name, colour;
  std::vector<Interval> points;  // x = index
};

// An empty string when no series has points. Values <= 0 are drawn at the axis floor.
std::string line_plot(const std::string& title, const std::string& x_label,
                      const std::string& y_label, const std::vector<Series>& series);

// One dot a value on a shared axis, a row a series: how a figure spreads over samples.
struct Strip {
  std::string name, colour;
  std::vector<double> values;
};
std::string strip_plot(const std::string& title, const std::string& x_label,
                       const std::vector<Strip>& strips);

std::string escape_html(const std::string& text);

}  // namespace octavo
