#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/env.h"

namespace octavo {
namespace {

constexpr int kMaxThreads = 1024;
// About 20 us: longer than the gap between two kernels of a step, shorter than waking a thread.
constexpr int kSpins = 500;

std::atomic<void (*)()> start_hook{nullptr};
thread_local void (*hook_seen)() = nullptr;
thread_local bool inside = false;  // this thread is running chunks

void run_start_hook() {
  void (*hook)() = start_hook.load(std::memory_order_acquire);
  if (hook == hook_seen) return;
  hook_seen = hook;
  if (hook != nullptr) hook();
}

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// One parallel_for. Chunks are handed out in order, so the lowest chunk that throws always runs and
// the exception that is kept does not depend on timing.
class Job {
 public:
  Job(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body)
      : n_(n), grain_(grain), chunks_((n - 1) / grain + 1), body_(body) {}

  int64_t chunks() const { return chunks_; }

  void work() {
    inside = true;
    for (int64_t chunk; (chunk = next_.fetch_add(1, std::memory_order_relaxed)) < chunks_;) {
      try {
        int64_t begin = chunk * grain_;
        body_(begin, std::min(n_ - begin, grain_) + begin);
      } catch (...) {
        std::lock_guard lock(mutex_);
        if (chunk < failed_) {
          failed_ = chunk;
          error_ = std::current_exception();
        }
        next_.store(chunks_, std::memory_order_relaxed);
      }
    }
    inside = false;
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  const int64_t n_, grain_, chunks_;
  const std::function<void(int64_t, int64_t)>& body_;
  std::atomic<int64_t> next_{0};
  std::mutex mutex_;
  int64_t failed_ = INT64_MAX;
  std::exception_ptr error_;
};

// Workers join an open job; the caller closes it when no chunk is left and waits only for those
// that joined, so a sleepy worker never holds up a short job.
class Pool {
 public:
  void resize(int threads) {
    std::lock_guard busy(busy_);
    if (static_cast<int>(workers_.size()) == threads - 1) return;
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
      wake_epoch_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    stop_ = false;
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { serve(); });
  }

  void run(Job& job) {
    std::unique_lock busy(busy_, std::try_to_lock);
    if (!busy || workers_.empty()) return job.work();
    {
      std::lock_guard lock(mutex_);
      job_ = &job;
      wake_epoch_.fetch_add(1, std::memory_order_release);
    }
    int64_t wanted = std::min<int64_t>(job.chunks() - 1, static_cast<int64_t>(workers_.size()));
    for (int64_t i = 0; i < wanted; ++i) wake_.notify_one();
    job.work();
    {
      std::lock_guard lock(mutex_);
      job_ = nullptr;
    }
    for (int i = 0; i < kSpins && active_.load(std::memory_order_acquire) != 0; ++i) relax();
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return active_.load(std::memory_order_acquire) == 0; });
  }

 private:
  void serve() {
    run_start_hook();
    for (uint64_t seen = 0;;) {
      for (int i = 0; i < kSpins && wake_epoch_.load(std::memory_order_acquire) == seen; ++i) {
        relax();
      }
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return wake_epoch_.load(std::memory_order_relaxed) != seen; });
      seen = wake_epoch_.load(std::memory_order_relaxed);
      if (stop_) return;
      Job* job = job_;
      if (job == nullptr) continue;
      active_.fetch_add(1, std::memory_order_relaxed);
      lock.unlock();
      run_start_hook();
      job->work();
      lock.lock();
      if (active_.fetch_sub(1, std::memory_order_acq_rel) == 1) idle_.notify_one();
    }
  }

  std::mutex busy_;   // held by the caller whose job the workers serve
  std::mutex mutex_;  // guards job_, stop_ and the two conditions
  std::condition_variable wake_, idle_;
  std::vector<std::thread> workers_;
  std::atomic<uint64_t> wake_epoch_{0};
  std::atomic<int> active_{0};
  Job* job_ = nullptr;
  bool stop_ = false;
};

// Never destroyed: workers may still be asleep in it when the process ends.
Pool& pool() {
  static Pool* instance = new Pool;
  return *instance;
}

int parse_thread_count(const std::string& text) {
  int n = 0;
  const char* last = text.c_str() + text.size();
  std::from_chars_result read = std::from_chars(text.c_str(), last, n);
  bool whole = read.ec == std::errc() && read.ptr == last;
  OCTAVO_CHECK(whole && n >= 1 && n <= kMaxThreads,
               "OCTAVO_THREADS is \"{}\"; expected a whole number from 1 to {}", text, kMaxThreads);
  return n;
}

int default_thread_count() {
  std::optional<std::string> text = env("OCTAVO_THREADS");
  if (text) return parse_thread_count(*text);
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0) return std::max(1, CPU_COUNT(&cpus));
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMaxThreads);
}

std::mutex count_mutex;
std::atomic<int> count{0};  // 0: not decided yet

}  // namespace

int thread_count() {
  if (int n = count.load(std::memory_order_acquire)) return n;
  std::lock_guard lock(count_mutex);
  if (count == 0) {
    int n = default_thread_count();
    pool().resize(n);
    count.store(n, std::memory_order_release);
  }
  return count;
}

void set_thread_count(int n) {
  OCTAVO_CHECK(n <= kMaxThreads, "{} threads asked for; at most {} are possible", n, kMaxThreads);
  OCTAVO_ASSERT(!inside);
  std::lock_guard lock(count_mutex);
  if (n < 1) n = default_thread_count();
  pool().resize(n);
  count.store(n, std::memory_order_release);
}

void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  OCTAVO_ASSERT(grain > 0);
  if (inside) {
    for (int64_t begin = 0; begin < n; begin += grain)
      body(begin, std::min(n - begin, grain) + begin);
    return;
  }
  int threads = thread_count();
  run_start_hook();
  Job job(n, grain, body);
  if (threads == 1 || job.chunks() == 1) {
    job.work();
  } else {
    pool().run(job);
  }
  job.rethrow();
}

void set_thread_start_hook(void (*hook)()) { start_hook.store(hook, std::memory_order_release); }

}  // namespace octavo
