#include "base/threads.h"

#include <stdlib.h>

#include <atomic>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include "base/folder.h"

namespace octavo {
namespace {

using test::expect_error;

class Threads : public testing::Test {
 protected:
  ~Threads() override { set_thread_count(0); }
};

std::vector<std::pair<int64_t, int64_t>> chunks_of(int64_t n, int64_t grain) {
  std::mutex mutex;
  std::set<std::pair<int64_t, int64_t>> chunks;
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    std::lock_guard lock(mutex);
    EXPECT_TRUE(chunks.emplace(begin, end).second);
  });
  return {chunks.begin(), chunks.end()};
}

TEST_F(Threads, BordersDependOnTheProblemOnly) {
  for (int threads : {1, 2, 5}) {
    set_thread_count(threads);
    EXPECT_EQ(thread_count(), threads);
    EXPECT_EQ(chunks_of(10, 4),
              (std::vector<std::pair<int64_t, int64_t>>{{0, 4}, {4, 8}, {8, 10}}));
    EXPECT_EQ(chunks_of(3, 100), (std::vector<std::pair<int64_t, int64_t>>{{0, 3}}));
    EXPECT_EQ(chunks_of(1, INT64_MAX).size(), 1u);
    EXPECT_EQ(chunks_of(0, 4).size(), 0u);
    EXPECT_EQ(chunks_of(-7, 4).size(), 0u);
  }
  expect_error(ErrorCode::internal, {"grain"}, [] { parallel_for(5, 0, [](int64_t, int64_t) {}); });
}

TEST_F(Threads, WorkersTakePart) {
  set_thread_count(3);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  std::atomic<int> arrived{0};
  parallel_for(3, 1, [&](int64_t, int64_t) {
    ++arrived;
    while (arrived < 3) std::this_thread::yield();  // ends only if three threads are in here
    std::lock_guard lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(seen.size(), 3u);
}

TEST_F(Threads, NestedRunsInlineWithTheSameChunks) {
  set_thread_count(4);
  std::atomic<int> inner{0};
  parallel_for(8, 1, [&](int64_t, int64_t) {
    std::thread::id self = std::this_thread::get_id();
    parallel_for(10, 3, [&](int64_t begin, int64_t end) {
      EXPECT_EQ(std::this_thread::get_id(), self);
      EXPECT_EQ(begin % 3, 0);
      EXPECT_EQ(end, std::min<int64_t>(begin + 3, 10));
      ++inner;
    });
  });
  EXPECT_EQ(inner, 8 * 4);
}

TEST_F(Threads, LowestExceptionIsRethrown) {
  for (int threads : {1, 2, 4}) {
    set_thread_count(threads);
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> ran{0};
      expect_error(ErrorCode::bad_file, {"chunk 7"}, [&] {
        parallel_for(1000, 1, [&](int64_t begin, int64_t) {
          ++ran;
          if (begin >= 7) throw Error(ErrorCode::bad_file, "chunk " + std::to_string(begin));
        });
      });
      EXPECT_GE(ran, 8);
      EXPECT_LT(ran, 8 + threads);
    }
  }
  std::atomic<int> after{0};
  parallel_for(100, 1, [&](int64_t, int64_t) { ++after; });
  EXPECT_EQ(after, 100);
}

TEST_F(Threads, ManyShortJobsAndResizes) {
  std::vector<int64_t> values(64);
  for (int round = 0; round < 3000; ++round) {
    if (round % 500 == 0) set_thread_count(1 + round / 500);
    parallel_for(64, 8, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) values[static_cast<size_t>(i)] += i;
    });
  }
  for (int64_t i = 0; i < 64; ++i) EXPECT_EQ(values[static_cast<size_t>(i)], 3000 * i);
}

TEST_F(Threads, CallersFromSeveralThreads) {
  set_thread_count(2);
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        parallel_for(16, 1, [&](int64_t begin, int64_t) { sum += begin; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 200 * 120);
}

thread_local int hook_calls = 0;

TEST_F(Threads, HookRunsOnceOnEveryThread) {
  hook_calls = 0;
  set_thread_count(1);
  set_thread_start_hook([] { ++hook_calls; });
  set_thread_count(3);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> arrived{0};
    parallel_for(3, 1, [&](int64_t, int64_t) {
      ++arrived;
      while (arrived < 3) std::this_thread::yield();
      EXPECT_EQ(hook_calls, 1);
    });
  }
  std::thread([] {
    parallel_for(1, 1, [](int64_t, int64_t) { EXPECT_EQ(hook_calls, 1); });
  }).join();
  set_thread_start_hook(nullptr);
}

TEST_F(Threads, CountFromTheEnvironment) {
  setenv("OCTAVO_THREADS", "3", 1);
  set_thread_count(0);
  EXPECT_EQ(thread_count(), 3);
  for (const char* bad : {"0", "-1", "abc", "2x", "1025", "99999999999", " 2"}) {
    setenv("OCTAVO_THREADS", bad, 1);
    expect_error(ErrorCode::invalid_argument, {bad, "from 1 to 1024"}, [] { set_thread_count(0); });
  }
  unsetenv("OCTAVO_THREADS");
  set_thread_count(0);
  EXPECT_GE(thread_count(), 1);
  expect_error(ErrorCode::invalid_argument, {"2000 threads"}, [] { set_thread_count(2000); });
}

}  // namespace
}  // namespace octavo
