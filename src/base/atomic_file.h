#pragma once
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace octavo {

struct TemporaryName;

// A file that appears whole or not at all: bytes go to a temporary name in the same folder,
// commit() flushes, fsyncs and renames. Without commit (an exception, Ctrl-C, disk full) the
// temporary is removed. Errors are Error{io} with path, the bytes asked for and the system's
// reason. A symbolic link stays and the file it points to is replaced; a folder or device as target
// is refused.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_, target_, temporary_;
  int fd_ = -1;
  TemporaryName* registered_ = nullptr;
};

void write_file(const std::filesystem::path& path, std::string_view content);
// Reads a whole text file of at most `limit` bytes; Error{io} or Error{bad_file} otherwise.
std::string read_file(const std::filesystem::path& path, size_t limit = size_t{1} << 28);

// What a failed write says (`error`: errno); for a full disk with the bytes that are free.
std::string write_failure_text(const std::filesystem::path& path, size_t bytes, int error);

// Unlinks the temporaries of all open AtomicFiles. Safe in a signal handler that ends the process.
void remove_open_temporaries() noexcept;

}  // namespace octavo
