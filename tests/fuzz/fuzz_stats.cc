// A stats file: loaded, shown, saved again, compared with itself and merged with itself.
#include <filesystem>

#include "base/check.h"
#include "fuzz/fuzz.h"
#include "fuzz/memory_file.h"
#include "quant/stats.h"
#include "quant/stats_diff.h"

using namespace octavo;

namespace {

// In memory where there is a place for that: files are flushed when they are saved.
std::filesystem::path scratch_file() {
  const std::filesystem::path memory = "/dev/shm";
  const bool there = std::filesystem::is_directory(memory);
  return (there ? memory : std::filesystem::temp_directory_path()) /
         fmt::format("octavo-fuzz-stats-{}", getpid());
}

void save_and_load(const Stats& stats) {
  static const std::filesystem::path path = scratch_file();
  stats.save(path);
  const Stats again = Stats::load(path);
  std::filesystem::remove(path);
  fuzz::must(again == stats && again.hash() == stats.hash(), "what is saved reads back as itself");
}

void ask(const Stats& stats) {
  fuzz::must(!stats.text("*", true).empty(), "there is a table");
  for (const auto& [layer, input] : stats.layers) {
    const LayerStats& one = stats.layer(layer);
    int64_t rows = 0;
    for (const auto& [step, s] : one.steps) rows += s.rows.size();
    if (rows > 0) fuzz::must(stats.rows(layer).dim(0) == rows, "all rows are found");
    fuzz::must(stats.channel_mean(layer).size() == static_cast<size_t>(one.channels()),
               "every channel has a mean");
  }
  for (const StatsDifference& d : diff_stats(stats, stats)) {
    fuzz::must(d.largest() == 0, "statistics do not differ from themselves");
  }
}

void merge(const Stats& stats) {
  Stats left = stats, right = stats;
  left.unfinished.reset();
  right.unfinished.reset();
  right.prompts.clear();  // a prompt in both is refused
  Stats other = right;
  other.merge(left);
  left.merge(right);
  fuzz::must(left == other && left.hash() == other.hash(), "merging takes any order");
  ask(left);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::MemoryFile file(data, size);
  return fuzz::refuse_or_accept([&] {
    const Stats stats = Stats::load(file.path());
    ask(stats);
    save_and_load(stats);
    merge(stats);
  });
}
