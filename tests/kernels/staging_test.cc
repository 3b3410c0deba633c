// Uploads through buffers, to a device that is the host's memory and in no hurry.
#include "kernels/staging.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "base/interrupt.h"
#include "support.h"

namespace octavo {
namespace {

using test::error_of;

struct Link {
  std::atomic<int> lanes{0}, most_lanes{0}, made{0}, sends{0};
  int fail_lane = -1, fail_send = -1;  // the how manieth throws
};

// What is sent arrives when it is waited for, and not before.
class SlowLane : public StagingLane {
 public:
  SlowLane(Link& link, size_t bytes) : link_(link) {
    if (link_.made++ == link_.fail_lane) OCTAVO_FAIL(out_of_memory, "no lane");
    for (auto& b : buffers_) b.assign(bytes + kGuard, std::byte{0xab});
    const int now = ++link_.lanes;
    for (int most = link_.most_lanes; most < now;) {
      if (link_.most_lanes.compare_exchange_weak(most, now)) break;
    }
  }
  ~SlowLane() override {
    for (auto& b : buffers_) {  // nobody wrote behind a buffer
      for (size_t i = b.size() - kGuard; i < b.size(); ++i) EXPECT_EQ(b[i], std::byte{0xab});
    }
    --link_.lanes;
  }
  std::byte* buffer(size_t k) override {
    arrive(k);
    return buffers_[k].data();
  }
  void send(size_t k, size_t offset, void* to, size_t bytes) override {
    if (link_.sends++ == link_.fail_send) OCTAVO_FAIL(device, "the link is down");
    EXPECT_LE(offset + bytes + kGuard, buffers_[k].size());
    under_way_[k].push_back({to, buffers_[k].data() + offset, bytes});
  }
  void flush(size_t) override {}
  void finish() override {
    for (size_t k = 0; k < kBuffers; ++k) arrive(k);
  }

 private:
  static constexpr size_t kGuard = 64;
  void arrive(size_t k) {
    for (const Upload& u : under_way_[k]) std::memcpy(u.to, u.from, u.bytes);
    under_way_[k].clear();
  }
  Link& link_;
  std::vector<std::byte> buffers_[kBuffers];
  std::vector<Upload> under_way_[kBuffers];
};

// Uploads of these sizes between two halves of host memory.
struct Problem {
  explicit Problem(const std::vector<size_t>& sizes) {
    size_t total = 0;
    for (const size_t size : sizes) total += size + 3;
    test::Random random(total);
    from.resize(total), to.resize(total, std::byte{0}), expected = to;
    for (std::byte& b : from) b = static_cast<std::byte>(random.bits());
    size_t at = 0;
    for (const size_t size : sizes) {  // with gaps that stay as they are
      uploads.push_back({to.data() + at, from.data() + at, size});
      std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(at), size,
                  expected.begin() + static_cast<std::ptrdiff_t>(at));
      at += size + 3;
    }
  }
  std::vector<std::byte> from, to, expected;
  std::vector<Upload> uploads;
};

Staging staging_over(Link& link, size_t threads, size_t bytes) {
  return {threads, bytes, [&link, bytes] { return std::make_unique<SlowLane>(link, bytes); }};
}

std::vector<size_t> awkward_sizes() {
  std::vector<size_t> sizes{0, 1, 15, 16, 17, 4096, 0, 65536, 100'003, 64, 63, 65, 0};
  for (size_t i = 0; i < 200; ++i) sizes.push_back(i * 7 % 90);
  return sizes;
}

TEST(Staging, EveryByteArrivesAndNothingElseIsWritten) {
  for (const size_t threads : {1, 2, 5}) {
    for (const size_t bytes : {16, 64, 4096, 1 << 20}) {
      Problem p(awkward_sizes());
      Link link;
      stage(p.uploads, staging_over(link, threads, bytes), nullptr);
      EXPECT_EQ(p.to, p.expected) << threads << " threads, buffers of " << bytes;
      EXPECT_LE(link.most_lanes, static_cast<int>(threads));
      EXPECT_EQ(link.lanes, 0);
    }
  }
}

TEST(Staging, NothingToDoMakesNoLane) {
  Link link;
  stage({}, staging_over(link, 4, 64), nullptr);
  Problem empty({0, 0});
  stage(empty.uploads, staging_over(link, 4, 64), nullptr);
  EXPECT_EQ(link.made, 0);
  Problem one({10});
  stage(one.uploads, staging_over(link, 4, 64), nullptr);
  EXPECT_EQ(link.made, 1);  // no more than there is work for
}

TEST(Staging, AllBytesAreShownBeforeTheyAreSent) {
  Problem p(awkward_sizes());
  Link link;
  std::mutex mutex;
  std::vector<std::vector<int>> shown;
  for (const Upload& u : p.uploads) shown.emplace_back(u.bytes, 0);
  const auto seen = [&](size_t i, size_t offset, std::span<const std::byte> piece) {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(offset % 16, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(piece.data()) % 16, 0u);
    const auto* from = static_cast<const std::byte*>(p.uploads[i].from) + offset;
    EXPECT_TRUE(std::equal(piece.begin(), piece.end(), from));
    for (size_t b = 0; b < piece.size(); ++b) ++shown[i].at(offset + b);
  };
  stage(p.uploads, staging_over(link, 3, 4096), seen);
  for (const auto& upload : shown) {
    for (const int times : upload) EXPECT_EQ(times, 1);
  }
}

TEST(Staging, TheErrorOfTheLowestChunkIsThrownAndLanesAreGone) {
  for (const size_t threads : {1, 4}) {
    for (int round = 0; round < 20; ++round) {
      Problem p(std::vector<size_t>(40, 1000));
      Link link;
      const Error error = error_of([&] {
        stage(p.uploads, staging_over(link, threads, 1008),
              [&](size_t i, size_t, std::span<const std::byte>) {
                if (i >= 7 && i % 2 == 1) OCTAVO_FAIL(not_finite, "upload {}.", i);
              });
      });
      EXPECT_EQ(error.code(), ErrorCode::not_finite);
      EXPECT_NE(std::string(error.what()).find("upload 7."), std::string::npos) << error.what();
      EXPECT_EQ(link.lanes, 0);
    }
  }
}

TEST(Staging, LanesThatCannotBeMadeOrFailAreErrors) {
  for (const size_t threads : {1, 3}) {
    Problem p(std::vector<size_t>(40, 1000));
    Link no_lane;
    no_lane.fail_lane = 0;
    EXPECT_EQ(
        error_of([&] { stage(p.uploads, staging_over(no_lane, threads, 64), nullptr); }).code(),
        ErrorCode::out_of_memory);
    Link broken;
    broken.fail_send = 5;
    EXPECT_EQ(
        error_of([&] { stage(p.uploads, staging_over(broken, threads, 64), nullptr); }).code(),
        ErrorCode::device);
    EXPECT_EQ(no_lane.lanes + broken.lanes, 0);
  }
}

}  // namespace
}  // namespace octavo
