// Uploads to a CUDA device, bit by bit.
#include "kernels/upload.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "base/mmap.h"
#include "base/threads.h"
#include "cuda_device.h"
#include "support.h"

namespace octavo {
namespace {

// Random bytes that are uploaded in parts, whose memory has 0xcd around it.
struct Parts {
  Parts(Device& device, const std::vector<size_t>& sizes) {
    size_t total = 0;
    for (const size_t size : sizes) total += size + 5;
    test::Random random(total);
    host.resize(total);
    for (std::byte& b : host) b = static_cast<std::byte>(random.bits());
    expected.assign(total, std::byte{0xcd});
    memory = device.allocate(total, "a test's uploads");
    device.fill(memory.get(), 0xcd, total);
    size_t at = 0;
    for (const size_t size : sizes) {
      uploads.push_back({static_cast<std::byte*>(memory.get()) + at, host.data() + at, size});
      std::memcpy(expected.data() + at, host.data() + at, size);
      at += size + 5;
    }
  }
  std::vector<std::byte> arrived(Device& device) const {
    std::vector<std::byte> result(expected.size());
    device.download(result.data(), memory.get(), result.size());
    return result;
  }
  std::vector<std::byte> host, expected;
  std::shared_ptr<void> memory;
  std::vector<Upload> uploads;
};

TEST(Upload, EveryByteArrivesOnCuda) {
  OCTAVO_NEEDS_CUDA();
  Device& device = *test::cuda().device;
  std::vector<size_t> sizes{0, 1, 4, 255, 4096, 3, (size_t{40} << 20) + 13, 0, 7, size_t{9} << 20};
  for (size_t i = 0; i < 3000; ++i) sizes.push_back(i * 37 % 5000);
  for (const int threads : {1, 3, 0}) {
    set_thread_count(threads);
    const Parts parts(device, sizes);
    upload_all(device, parts.uploads);
    EXPECT_TRUE(parts.arrived(device) == parts.expected) << threads << " threads";
  }
  upload_all(device, {});
}

TEST(Upload, ComesAfterWhatIsOnTheStream) {
  OCTAVO_NEEDS_CUDA();
  Device& device = *test::cuda().device;
  const size_t bytes = size_t{256} << 20;
  const auto large = device.allocate(bytes, "a test's fill");
  Parts parts(device, {100, 1000});
  for (int i = 0; i < 20; ++i) device.fill(large.get(), 1, bytes);
  device.fill(parts.memory.get(), 0xcd, parts.expected.size());
  upload_all(device, parts.uploads);
  EXPECT_TRUE(parts.arrived(device) == parts.expected);
}

TEST(Upload, FromAMappedFileOnCuda) {
  OCTAVO_NEEDS_CUDA();
  Device& device = *test::cuda().device;
  const std::string path = ::testing::TempDir() + "octavo_upload_test.bin";
  std::vector<std::byte> bytes((size_t{20} << 20) + 77);
  test::Random random(5);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.bits());
  FILE* const file = std::fopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
  std::fclose(file);
  {
    const auto mapped = MappedFile::open(path);
    const auto memory = device.allocate(bytes.size(), "a test's file");
    upload_all(device, std::vector<Upload>{{memory.get(), mapped->data(), mapped->size()}});
    std::vector<std::byte> back(bytes.size());
    device.download(back.data(), memory.get(), back.size());
    EXPECT_TRUE(back == bytes);
  }
  std::remove(path.c_str());
}

TEST(Upload, ErrorsOfThoseWhoLookLeaveTheDeviceUsable) {
  OCTAVO_NEEDS_CUDA();
  Device& device = *test::cuda().device;
  const std::vector<size_t> sizes(30, size_t{3} << 20);
  const Parts parts(device, sizes);
  size_t before = 0;
  for (int i = 0; i < 5; ++i) {
    if (i == 1) before = device.free_bytes();  // what the first one loads stays
    const Error error = test::error_of([&] {
      upload_all(device, parts.uploads, [](size_t k, size_t, std::span<const std::byte>) {
        if (k == 11) OCTAVO_FAIL(not_finite, "found it");
      });
    });
    EXPECT_EQ(error.code(), ErrorCode::not_finite);
  }
  EXPECT_GE(device.free_bytes(), before);
  upload_all(device, parts.uploads);
  EXPECT_TRUE(parts.arrived(device) == parts.expected);
}

TEST(Upload, TheLinkHasARate) {
  OCTAVO_NEEDS_CUDA();
  EXPECT_GT(link_rate(*test::cuda().device), 1e9);
}

}  // namespace
}  // namespace octavo
