#pragma once
// Memory of the calling thread that lives from launch to launch: it grows to the largest size asked
// for and is then reused, so launches stop allocating after the first.
#include <cstddef>
#include <cstdint>

namespace octavo::cpu {

// Independent buffers of a thread; a kernel may use each once at a time.
enum class Scratch : uint8_t { onednn, tile, operand, rows, extra, count_ };

// 64-byte aligned; valid until the next call with the same `which` in this thread.
void* scratch(Scratch which, size_t bytes);
template <class T>
T* scratch_of(Scratch which, int64_t n) {
  return static_cast<T*>(scratch(which, static_cast<size_t>(n) * sizeof(T)));
}

}  // namespace octavo::cpu
