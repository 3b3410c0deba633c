#include "kernels/upload.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/threads.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"
#include "kernels/staging.h"

namespace octavo {
namespace cuda {
namespace {

constexpr size_t kBufferBytes = size_t{2} << 20;
constexpr size_t kMostThreads = 16;

struct FreePinned {
  void operator()(std::byte* memory) const { cudaFreeHost(memory); }
};
using Pinned = std::unique_ptr<std::byte, FreePinned>;

Pinned allocate_pinned(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaHostAlloc(&memory, bytes, cudaHostAllocDefault);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not sticky
    OCTAVO_FAIL(out_of_memory, "the system cannot pin {} bytes of its memory for uploads", bytes);
  }
  check(status, "pinning memory for uploads");
  return Pinned(static_cast<std::byte*>(memory));
}

class Stream {
 public:
  Stream() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
  }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }
  void wait() { check(cudaStreamSynchronize(stream_), "copying to the device"); }

 private:
  cudaStream_t stream_ = nullptr;
};

// An event that only says that something is done.
class Arrival {
 public:
  Arrival() {
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating an event");
  }
  ~Arrival() { cudaEventDestroy(event_); }
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;
  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "recording an event"); }
  void wait() { check(cudaEventSynchronize(event_), "copying to the device"); }

 private:
  cudaEvent_t event_ = nullptr;
};

void send_pinned(void* to, const void* from, size_t bytes, cudaStream_t stream) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream), "copying to the device");
}

// The thread's device is set.
class PinnedLane : public StagingLane {
 public:
  explicit PinnedLane(size_t buffer_bytes)
      : buffer_bytes_(buffer_bytes), memory_(allocate_pinned(kBuffers * buffer_bytes)) {}
  ~PinnedLane() override { cudaStreamSynchronize(stream_.get()); }

  std::byte* buffer(size_t k) override {
    arrivals_[k].wait();  // at once if nothing was sent yet
    return memory_.get() + k * buffer_bytes_;
  }
  void send(size_t k, size_t offset, void* to, size_t bytes) override {
    send_pinned(to, memory_.get() + k * buffer_bytes_ + offset, bytes, stream_.get());
  }
  void flush(size_t k) override { arrivals_[k].record(stream_.get()); }
  void finish() override { stream_.wait(); }

 private:
  const size_t buffer_bytes_;
  Pinned memory_;
  Stream stream_;
  Arrival arrivals_[kBuffers];
};

}  // namespace
}  // namespace cuda

void upload_all(Device& device, std::span<const Upload> uploads, const UploadSeen& seen) {
  if (dynamic_cast<cuda::CudaDevice*>(&device) == nullptr) {
    return upload_each(device, uploads, seen);
  }
  size_t total = 0;
  for (const Upload& upload : uploads) total += (upload.bytes + 15) / 16 * 16;
  if (total == 0) return;
  device.mark()->wait();  // what is on its stream may still use the memory
  Staging staging;
  staging.threads = std::min<size_t>(cuda::kMostThreads, static_cast<size_t>(thread_count()));
  staging.buffer_bytes = std::min(cuda::kBufferBytes, total);
  staging.make_lane = [&device, bytes = staging.buffer_bytes] {
    device.activate();
    return std::make_unique<cuda::PinnedLane>(bytes);
  };
  stage(uploads, staging, seen);
}

double link_rate(Device& device) {
  constexpr size_t kBytes = size_t{256} << 20;
  constexpr int kTimes = 4;
  device.activate();
  const auto to = device.allocate(kBytes, "a copy to be timed");
  const cuda::Pinned from = cuda::allocate_pinned(kBytes);
  std::fill_n(from.get(), kBytes, std::byte{1});
  cuda::Stream stream;
  double best = 0;
  for (int i = 0; i <= kTimes; ++i) {
    const auto start = std::chrono::steady_clock::now();
    cuda::send_pinned(to.get(), from.get(), kBytes, stream.get());
    stream.wait();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(kBytes) / seconds.count());
  }
  return best;
}

}  // namespace octavo
