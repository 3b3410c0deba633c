#include "bench_table.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace octavo::cli {

Timing timing_of(std::vector<double> t) {
  std::sort(t.begin(), t.end());
  return {t[t.size() / 2], t[t.size() / 4], t[t.size() * 3 / 4]};
}

void print_timing(const std::string& what, const Timing& t) {
  fmt::print("{:28s} {:9.3f} ms   [{:.3f}, {:.3f}]\n", what, t.median * 1e3, t.low * 1e3,
             t.high * 1e3);
}

nlohmann::ordered_json to_json(const Timing& t) {
  return {{"median_ms", t.median * 1e3}, {"q1_ms", t.low * 1e3}, {"q3_ms", t.high * 1e3}};
}

std::vector<Row> by_kernel(const std::vector<NodeProfile>& nodes) {
  std::vector<Row> rows;
  for (const NodeProfile& n : nodes) {
    if (n.calls == 0) continue;
    auto it = std::find_if(rows.begin(), rows.end(),
                           [&](const Row& r) { return r.op == n.op && r.kernel == n.kernel; });
    if (it == rows.end()) it = rows.insert(rows.end(), {n.op, n.kernel});
    it->seconds += n.seconds;
    it->flops += n.flops * static_cast<double>(n.calls);
    it->bytes += n.bytes * n.calls;
    it->calls += n.calls;
  }
  std::sort(rows.begin(), rows.end(),
            [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  return rows;
}

void print_rows(const std::vector<Row>& rows, int runs, size_t limit) {
  double total = 0;
  for (const Row& r : rows) total += r.seconds;
  fmt::print("{:20s} {:34s} {:>5s} {:>9s} {:>6s} {:>9s} {:>8s}\n", "op", "kernel", "calls",
             "us/step", "%", "GFLOP/s", "GB/s");
  for (size_t i = 0; i < std::min(limit, rows.size()); ++i) {
    const Row& r = rows[i];
    fmt::print("{:20s} {:34s} {:5d} {:9.1f} {:6.1f} {:9.1f} {:8.2f}\n", r.op, r.kernel,
               r.calls / runs, r.seconds / runs * 1e6, 100 * r.seconds / total,
               r.flops / r.seconds / 1e9, static_cast<double>(r.bytes) / r.seconds / 1e9);
  }
}

nlohmann::ordered_json rows_json(const std::vector<Row>& rows, int runs) {
  auto list = nlohmann::ordered_json::array();
  for (const Row& r : rows)
    list.push_back({{"op", r.op},
                    {"kernel", r.kernel},
                    {"calls", r.calls / runs},
                    {"us_per_step", r.seconds / runs * 1e6},
                    {"flops_per_second", r.flops / r.seconds},
                    {"bytes_per_second", static_cast<double>(r.bytes) / r.seconds}});
  return list;
}

}  // namespace octavo::cli
