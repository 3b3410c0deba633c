#pragma once
// A device other than the host: its memory, and one stream of work on it. Kernels reach it through
// Call::device; nullptr there is the host's CPU. A Device is not thread-safe: open one a thread.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace octavo {

struct DeviceInfo {
  std::string name;   // "NVIDIA H200"
  std::string label;  // "cuda:0"
  int index = 0;
  int arch = 0;  // compute capability x 10: 80, 89, 90, 100
  int processors = 0;
  size_t memory_bytes = 0, l2_bytes = 0, shared_bytes = 0;  // shared: the most that one block gets
};

// Launches that were recorded once and replay as one.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() = 0;  // in stream order
};

// A point in the stream's order of work.
class Mark {
 public:
  virtual ~Mark() = default;
  virtual void wait() = 0;  // until the work before it is done; Error{device}
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;
  // Makes this the calling thread's device; before prepare, launch and everything below.
  virtual void activate() = 0;

  // Aligned to 256 bytes. Error{out_of_memory} names `what`, the size asked for and what is free.
  virtual std::shared_ptr<void> allocate(size_t bytes, std::string_view what) = 0;
  virtual size_t free_bytes() = 0;
  // In stream order; the host memory may be reused on return, and is complete on return.
  virtual void upload(void* to, const void* from, size_t bytes) = 0;
  virtual void download(void* to, const void* from, size_t bytes) = 0;
  // In stream order, asynchronous.
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  // `height` pieces of `width` bytes, whose starts are a pitch apart.
  virtual void copy_2d(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                       size_t height) = 0;
  virtual void fill(void* to, uint8_t value, size_t bytes) = 0;
  virtual void synchronize() = 0;  // Error{device} with what went wrong since the last call

  // The end of what is on the stream now.
  virtual std::unique_ptr<Mark> mark() = 0;

  // What `launches` puts on the stream, which must not allocate or synchronize.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& launches) = 0;
  // Seconds that the device spends on each of `work`, which are put on the stream without a pause.
  virtual std::vector<double> time(const std::vector<std::function<void()>>& work) = 0;
};

// Copies between the host and the device; a tensor that is there already is returned as it is.
Tensor to_device(Device& device, const Tensor& tensor, std::string_view what);
Tensor to_host(Device& device, const Tensor& tensor);

// "cpu" (nullptr), "cuda" or "cuda:N". Error{unsupported} says why not: built without CUDA, no
// driver, a driver too old, no such device, no kernels for its architecture.
std::shared_ptr<Device> open_device(std::string_view name);
// One line a device of this machine, or why there is none; for --help and `inspect`.
std::string list_devices();

}  // namespace octavo
