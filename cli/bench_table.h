#pragma once
// What the benchmarks share: timing, and the table of what each kernel takes and reaches.
#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/interrupt.h"
#include "run/executor.h"

namespace octavo::cli {

using Clock = std::chrono::steady_clock;
inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Timing {
  double median = 0, low = 0, high = 0;  // seconds; quartiles
};
Timing timing_of(std::vector<double> seconds);

// One discarded warm-up, then `runs` timed calls.
template <class F>
Timing time_it(int runs, F&& body) {
  body(0);
  std::vector<double> seconds;
  for (int i = 0; i < runs; ++i) {
    check_interrupt();
    const auto start = Clock::now();
    body(i);
    seconds.push_back(seconds_since(start));
  }
  return timing_of(std::move(seconds));
}

nlohmann::ordered_json to_json(const Timing& t);
void print_timing(const std::string& what, const Timing& t);

struct Row {
  std::string op, kernel;
  double seconds = 0, flops = 0;
  int64_t bytes = 0, calls = 0;
};
// Profile rows summed by op and kernel, the dearest first.
std::vector<Row> by_kernel(const std::vector<NodeProfile>& nodes);
void print_rows(const std::vector<Row>& rows, int runs, size_t limit);
nlohmann::ordered_json rows_json(const std::vector<Row>& rows, int runs);

}  // namespace octavo::cli
