#pragma once
// One process-wide pool. Work is cut into chunks whose borders depend on the problem only, never on
// the number of threads, so every result has the same bits on any thread count.
#include <cstdint>
#include <functional>

namespace octavo {

// Number of threads that parallel_for uses, caller included. Default: OCTAVO_THREADS, else the
// number of CPUs this process may run on.
int thread_count();
// Not while a parallel_for is running. n < 1 restores the default.
void set_thread_count(int n);

// Calls body(begin, end) for consecutive chunks of `grain` indices of [0, n). Chunks are taken in
// order by whichever thread is free; after an exception no further chunk starts, and that of the
// lowest chunk is rethrown here. Nested calls run inline; so does a call from a second thread while
// the pool is busy.
void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

// `hook` runs once on every thread before it takes part in parallel_for, workers and callers alike
// (the kernels use it to make libraries with thread pools of their own stay on one thread there).
void set_thread_start_hook(void (*hook)());

}  // namespace octavo
