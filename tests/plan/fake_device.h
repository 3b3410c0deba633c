#pragma once
// A device whose memory is the host's, and which knows what was allocated and what was copied.
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "kernels/device.h"

namespace octavo::test {

class FakeDevice : public Device {
 public:
  size_t allocations = 0, allocated = 0, uploaded = 0;  // ever; bytes now; bytes ever
  size_t memory = SIZE_MAX;                             // bytes that it has
  bool broken = false;                                  // uploads fail

  const DeviceInfo& info() const override { return info_; }
  void activate() override {}
  std::shared_ptr<void> allocate(size_t bytes, std::string_view what) override {
    OCTAVO_CHECK_CODE(out_of_memory, allocated + bytes <= memory,
                      "fake:0 has not the {} bytes of {}", bytes, what);
    ++allocations;
    allocated += bytes;
    return {std::aligned_alloc(256, (bytes + 255) / 256 * 256), [this, bytes](void* p) {
              allocated -= bytes;
              std::free(p);
            }};
  }
  size_t free_bytes() override { return memory - allocated; }
  void upload(void* to, const void* from, size_t bytes) override {
    OCTAVO_CHECK_CODE(device, !broken, "fake:0 is broken");
    uploaded += bytes;
    std::memcpy(to, from, bytes);
  }
  void download(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy_2d(void*, size_t, const void*, size_t, size_t, size_t) override { fail(); }
  void fill(void* to, uint8_t value, size_t bytes) override { std::memset(to, value, bytes); }
  void synchronize() override {}
  std::unique_ptr<Mark> mark() override { fail(); }
  std::unique_ptr<Recording> record(const std::function<void()>&) override { fail(); }
  std::vector<double> time(const std::vector<std::function<void()>>&) override { fail(); }

 private:
  [[noreturn]] static void fail() { OCTAVO_FAIL(internal, "the fake device cannot do this"); }
  DeviceInfo info_{.name = "a fake", .label = "fake:0"};
};

}  // namespace octavo::test
