#include "kernels/staging.h"

#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/interrupt.h"

namespace octavo {
namespace {

constexpr size_t kGrain = 16;  // bytes: pieces of an upload begin at its multiples

struct Part {
  size_t upload, offset, bytes;
};
using Chunk = std::vector<Part>;  // what is in a buffer at a time

size_t rounded_up(size_t bytes) { return (bytes + kGrain - 1) / kGrain * kGrain; }

std::vector<Chunk> cut(std::span<const Upload> uploads, size_t buffer_bytes) {
  OCTAVO_ASSERT(buffer_bytes >= kGrain && buffer_bytes % kGrain == 0);
  std::vector<Chunk> chunks;
  size_t space = 0;
  for (size_t i = 0; i < uploads.size(); ++i) {
    for (size_t offset = 0; offset < uploads[i].bytes;) {
      if (space == 0) {
        chunks.emplace_back();
        space = buffer_bytes;
      }
      const size_t bytes = std::min(space, uploads[i].bytes - offset);
      chunks.back().push_back({i, offset, bytes});
      offset += bytes;
      space -= std::min(space, rounded_up(bytes));
    }
  }
  return chunks;
}

class Stager {
 public:
  Stager(std::span<const Upload> uploads, const Staging& staging, const UploadSeen& seen)
      : uploads_(uploads),
        staging_(staging),
        seen_(seen),
        chunks_(cut(uploads, staging.buffer_bytes)) {}

  void run() {
    std::vector<std::thread> others;
    const size_t wanted = std::min(staging_.threads, chunks_.size());
    try {
      while (others.size() + 1 < wanted) others.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
      // The system has no more threads: those that are there do it.
    }
    if (wanted > 0) work();
    for (std::thread& other : others) other.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void work() {
    size_t chunk = 0;  // what an error belongs to
    try {
      const std::unique_ptr<StagingLane> lane = staging_.make_lane();
      for (size_t turn = 0; (chunk = next_.fetch_add(1)) < chunks_.size(); ++turn) {
        check_interrupt();
        send(*lane, turn % StagingLane::kBuffers, chunks_[chunk]);
      }
      lane->finish();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_ || chunk < failed_) {
        failed_ = chunk;
        error_ = std::current_exception();
      }
      next_.store(chunks_.size());
    }
  }

  void send(StagingLane& lane, size_t k, const Chunk& chunk) {
    std::byte* const buffer = lane.buffer(k);
    size_t at = 0;
    for (const Part& part : chunk) {
      const Upload& upload = uploads_[part.upload];
      std::memcpy(buffer + at, static_cast<const std::byte*>(upload.from) + part.offset,
                  part.bytes);
      if (seen_) seen_(part.upload, part.offset, {buffer + at, part.bytes});
      lane.send(k, at, static_cast<std::byte*>(upload.to) + part.offset, part.bytes);
      at += rounded_up(part.bytes);
    }
    lane.flush(k);
  }

  const std::span<const Upload> uploads_;
  const Staging& staging_;
  const UploadSeen& seen_;
  const std::vector<Chunk> chunks_;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;  // guards the two below
  size_t failed_ = 0;
  std::exception_ptr error_;
};

}  // namespace

void stage(std::span<const Upload> uploads, const Staging& staging, const UploadSeen& seen) {
  Stager(uploads, staging, seen).run();
}

void upload_each(Device& device, std::span<const Upload> uploads, const UploadSeen& seen) {
  for (size_t i = 0; i < uploads.size(); ++i) {
    const Upload& upload = uploads[i];
    check_interrupt();
    if (upload.bytes == 0) continue;
    if (seen) seen(i, 0, {static_cast<const std::byte*>(upload.from), upload.bytes});
    device.upload(upload.to, upload.from, upload.bytes);
  }
}

}  // namespace octavo
