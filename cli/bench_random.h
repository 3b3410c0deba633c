#pragma once
#include <string>
#include <vector>

namespace octavo::cli {

struct RandomBench {
  std::string model, precision, compute, device, json;
  std::vector<std::string> extents;
  int batch, runs, rows;
};
// octavo bench NAME --random: one transformer of a published model's size.
void bench_random(const RandomBench& o);

}  // namespace octavo::cli
