#pragma once
#include <string>
#include <vector>

namespace octavo::cli {

struct StartBench {
  std::string model, compute, device, json;
  std::vector<std::string> extents;
  int batch;
};
// octavo bench ARTIFACT --start: one transformer from its file to its first step.
void bench_start(const StartBench& o);

}  // namespace octavo::cli
