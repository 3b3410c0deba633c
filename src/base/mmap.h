#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>

namespace octavo {

// A file mapped read-only. The mapping lives as long as any shared_ptr to it.
class MappedFile {
 public:
  // Throws Error{io} naming the path and the system's reason.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }
  // Tells the system that these bytes are not needed soon, so that streaming over a large file
  // keeps a small resident set. Contents stay readable.
  void release(size_t offset, size_t bytes) const;

 private:
  MappedFile() = default;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace octavo
