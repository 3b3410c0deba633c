#pragma once
// Takes what a pipeline's observer sees into statistics. Which rows are kept, and how they are
// grouped in sums, follows from prompt, step and place alone, so results have the same bytes
// whatever the batch. Private to this floor.
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "quant/stats.h"

namespace octavo {

// A value of a component's graph that layers take as their input.
struct Watched {
  std::vector<std::string> layers;  // "component/layer", "component/module.attention.q"
  int64_t channels = 0;
  int channel_axis = -1;
  bool rows = false;     // keep rows and the second moment
  bool batched = false;  // axis 0 holds the samples; else all prompts share the value
};

class Collector {
 public:
  Collector(Stats& stats, const std::map<std::string, Watched>& watches)
      : stats_(stats), watches_(watches) {}

  // What is taken from now on. `light`: all but rows and second moments, of every value; those,
  // of the values of `heavy`.
  void select(bool light, std::set<std::string> heavy);
  // Before each run of a component: the prompts whose samples it will compute. Sample j of a value
  // is of prompt j % prompts.size(); each prompt's samples are told apart by their order.
  void begin(std::vector<uint64_t> prompts);
  // `value`: "component/value".
  void see(const std::string& value, int step, const Tensor& tensor);
  // Adds rows that still wait for their product. After the last run of a prompt.
  void finish();

 private:
  struct Sample {
    uint64_t prompt;
    int64_t occurrence;
    const float* data;
    int64_t rows, channels;
  };
  void add_samples(const std::string& value, int step, const Tensor& tensor);
  void add_rows(StepStats& stats, int step, const Sample& sample);
  void add_moment_rows(const std::string& value, int step, const Sample& sample);
  void flush(const std::string& value, std::vector<float>& pending, int64_t channels);

  Stats& stats_;
  const std::map<std::string, Watched>& watches_;
  bool light_ = true;
  std::set<std::string> heavy_;
  std::vector<uint64_t> prompts_;
  std::map<std::pair<std::string, int>, int64_t> seen_;  // samples a prompt, since begin()
  // Rows that wait, by value and prompt.
  std::map<std::pair<std::string, uint64_t>, std::vector<float>> pending_;
};

}  // namespace octavo
