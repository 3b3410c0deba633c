#include "kernels/cpu/fast/scratch.h"

#include <array>
#include <cstdlib>
#include <memory>
#include <new>

namespace octavo::cpu {
namespace {

constexpr size_t kAlign = 64;

struct Free {
  void operator()(void* p) const { std::free(p); }
};
struct Buffer {
  std::unique_ptr<void, Free> data;
  size_t bytes = 0;
};

}  // namespace

void* scratch(Scratch which, size_t bytes) {
  thread_local std::array<Buffer, static_cast<size_t>(Scratch::count_)> buffers;
  Buffer& buffer = buffers[static_cast<size_t>(which)];
  if (buffer.bytes < bytes) {
    const size_t rounded = (bytes + kAlign - 1) / kAlign * kAlign;
    buffer.data.reset(std::aligned_alloc(kAlign, rounded));
    buffer.bytes = rounded;
    if (!buffer.data) throw std::bad_alloc();
  }
  return buffer.data.get();
}

}  // namespace octavo::cpu
