#pragma once
// Inline SVG plots of y over x, for reports.
#include <string>
#include <vector>

namespace octavo {

struct XyPoint {
  double x = 0, y = 0;
  double low = 0, high = 0;  // bar of y, drawn where low < high
  std::string label;         // shown beside it, may be empty
};

struct XySeries {
  std::string name, colour;
  std::vector<XyPoint> points;
  bool line = true;  // joins the points
};

struct XyAxes {
  std::string title, x_label, y_label;
  bool log_y = false;  // values that are not above 0 are left out
};

// Points that are not finite are left out; an empty string when none is left.
std::string xy_plot(const XyAxes& axes, const std::vector<XySeries>& series);

}  // namespace octavo
