#pragma once
// A model's weights on their way to a device: many copies at once, as fast as the link takes them.
#include <cstddef>
#include <functional>
#include <span>

#include "kernels/device.h"

namespace octavo {

struct Upload {
  void* to = nullptr;          // in the device's memory
  const void* from = nullptr;  // in the host's: may be a mapped file that has not been read yet
  size_t bytes = 0;
};

// Is shown all bytes of uploads[index], in pieces that begin at multiples of 16 bytes, just before
// they are sent. Called on several threads at a time, in any order; may throw.
using UploadSeen =
    std::function<void(size_t index, size_t offset, std::span<const std::byte> piece)>;

// Begins when the device's stream is done with what is on it; complete on return. On a CUDA device
// a few threads read the host's memory into small pinned buffers, so that page faults and copies of
// several pieces overlap (staging.h). The first error, of those that they or `seen` throw, is
// thrown here when nothing is on its way any more; what lies in the device's memory then is
// undefined.
void upload_all(Device& device, std::span<const Upload> uploads, const UploadSeen& seen = nullptr);

// Bytes a second that one large copy from pinned memory to the device reaches, measured now.
double link_rate(Device& device);

}  // namespace octavo
