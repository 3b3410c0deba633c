#pragma once
// The figures of a comparison by name, for gates, tables and plots.
#include <string>
#include <vector>

#include "judge/judge.h"

namespace octavo {

// PSNR of the mean squared error over all pictures: 10 log10(4 / mean(4 / 10^(psnr/10))).
double psnr_of_mean_error(const Comparison& comparison);
double median(std::vector<double> values);
Interval psnr_interval(const Comparison& comparison);
Interval ssim_interval(const Comparison& comparison);

// Per step: the mean over samples of the x0 error, and its bootstrap interval.
std::vector<Interval> step_errors(const Comparison& comparison, bool teacher_forced);

// The largest per-step, per-sample x0 error and where it is.
struct Worst {
  double error = 0;
  int step = -1;
  std::string prompt;
  uint64_t seed = 0;
};
Worst worst_step(const Comparison& comparison, bool teacher_forced);

// Names a gate may use: psnr.{mean,low,median,min,mse} ssim.{mean,low,median,min}
// x0.{teacher,free}.{mean,max}. Error lists them.
const std::vector<std::string>& figure_names();
double figure(const Comparison& comparison, const std::string& name);

}  // namespace octavo
