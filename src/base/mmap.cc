#include "base/mmap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/check.h"

namespace octavo {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  // O_NONBLOCK: a named pipe must be refused below, not waited for.
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  OCTAVO_CHECK_CODE(io, file.fd >= 0, "cannot open {}: {}", path.string(), std::strerror(errno));
  struct stat status = {};
  OCTAVO_CHECK_CODE(io, fstat(file.fd, &status) == 0, "cannot read {}: {}", path.string(),
                    std::strerror(errno));
  OCTAVO_CHECK_CODE(io, S_ISREG(status.st_mode), "cannot read {}: it is {}, not a file",
                    path.string(), S_ISDIR(status.st_mode) ? "a folder" : "a special file");
  std::shared_ptr<MappedFile> mapped(new MappedFile);
  mapped->path_ = path;
  if (status.st_size == 0) return mapped;
  size_t size = static_cast<size_t>(status.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  OCTAVO_CHECK_CODE(io, data != MAP_FAILED, "cannot map {} ({} bytes): {}", path.string(), size,
                    std::strerror(errno));
  mapped->data_ = static_cast<const std::byte*>(data);
  mapped->size_ = size;
  return mapped;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release(size_t offset, size_t bytes) const {
  if (offset >= size_ || bytes == 0) return;
  // Whole pages, outwards: a neighbour that shares one is simply read from the file again.
  static const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  size_t begin = offset / page * page;
  size_t end = offset + std::min(bytes, size_ - offset);
  madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace octavo
