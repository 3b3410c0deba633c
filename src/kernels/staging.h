#pragma once
// How uploads reach a device by way of small buffers, on several threads. Private to this floor.
#include <memory>

#include "kernels/upload.h"

namespace octavo {

// One thread's way to the device: two buffers, so that one is filled while the other is read. Made,
// used and destroyed on its thread; destroying it waits for what is on its way.
class StagingLane {
 public:
  static constexpr size_t kBuffers = 2;
  virtual ~StagingLane() = default;
  // Buffer k, once everything sent from it has arrived.
  virtual std::byte* buffer(size_t k) = 0;
  // Begins a copy out of buffer k, whose bytes stay as they are until buffer(k) is asked for again.
  virtual void send(size_t k, size_t offset, void* to, size_t bytes) = 0;
  virtual void flush(size_t k) = 0;  // nothing more comes from buffer k in this turn
  virtual void finish() = 0;         // everything has arrived
};

struct Staging {
  size_t threads = 1;         // at most; no more than there is work for
  size_t buffer_bytes = 256;  // a multiple of 16
  std::function<std::unique_ptr<StagingLane>()> make_lane;
};

// Chunks of a buffer's size are taken in order by whichever thread is free. After an error no
// further chunk starts; that of the lowest chunk is thrown. Ctrl-C is seen between chunks.
void stage(std::span<const Upload> uploads, const Staging& staging, const UploadSeen& seen);

// One after the other by Device::upload().
void upload_each(Device& device, std::span<const Upload> uploads, const UploadSeen& seen);

}  // namespace octavo
