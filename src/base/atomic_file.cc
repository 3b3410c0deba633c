#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/check.h"

namespace octavo {

namespace fs = std::filesystem;

// An entry of the list that the signal handler walks. Entries are reused and never freed.
struct TemporaryName {
  std::atomic<bool> used{true};
  std::atomic<bool> visible{false};
  char path[PATH_MAX];
  TemporaryName* next = nullptr;
};

namespace {

std::atomic<TemporaryName*> names{nullptr};

TemporaryName* take_name() {
  for (TemporaryName* name = names; name != nullptr; name = name->next) {
    bool free = false;
    if (name->used.compare_exchange_strong(free, true)) return name;
  }
  TemporaryName* name = new TemporaryName;
  name->next = names;
  while (!names.compare_exchange_weak(name->next, name)) {
  }
  return name;
}

void drop_name(TemporaryName* name) {
  name->visible = false;
  name->used = false;
}

// Where the bytes will end up: links are followed, so that a linked output stays a link.
fs::path resolve_target(const fs::path& path) {
  OCTAVO_CHECK_CODE(io, path.has_filename(), "cannot write \"{}\": it names no file",
                    path.string());
  std::error_code error;
  fs::path target = fs::is_symlink(path, error) ? fs::weakly_canonical(path, error) : path;
  fs::file_status status = fs::status(target, error);
  OCTAVO_CHECK_CODE(io, !fs::is_directory(status),
                    "cannot write {}: it is a folder; name a file in it", path.string());
  OCTAVO_CHECK_CODE(io, !fs::exists(status) || fs::is_regular_file(status),
                    "cannot write {}: it is a device or pipe, not a file", path.string());
  return target;
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

[[noreturn]] void fail_write(const fs::path& path, size_t bytes, int error) {
  throw_error(ErrorCode::io, write_failure_text(path, bytes, error));
}

void sync_folder(const fs::path& folder) {
  // The rename itself survives a power cut only once the folder is on disk. File systems that
  // cannot sync a folder say EINVAL; there is nothing more to do on those.
  int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  int result = fsync(fd), error = errno;
  close(fd);
  OCTAVO_CHECK_CODE(io, result == 0 || error == EINVAL, "cannot sync folder {}: {}",
                    folder.string(), std::strerror(error));
}

}  // namespace

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)), target_(resolve_target(path_)) {
  static std::atomic<unsigned> counter{0};
  fs::path folder = folder_of(target_);
  registered_ = take_name();
  do {
    // A short name of its own: the target's may already be as long as the system allows.
    temporary_ = folder / fmt::format(".octavo-{}-{}.tmp", getpid(), counter++);
    std::error_code ignored;
    std::string absolute = fs::absolute(temporary_, ignored).string();
    if (absolute.size() < sizeof(registered_->path)) {
      std::memcpy(registered_->path, absolute.c_str(), absolute.size() + 1);
      registered_->visible = true;
    }
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (fd_ < 0 && errno == EEXIST);  // left by a killed process with this id
  if (fd_ >= 0) return;
  int error = errno;
  drop_name(registered_);
  if (error == ENOSPC || error == EDQUOT) fail_write(target_, 0, error);
  OCTAVO_FAIL(io, "cannot create {}: {} (folder {}); make the folder or choose another",
              path_.string(), std::strerror(error), folder.string());
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
  drop_name(registered_);
}

void AtomicFile::write(const void* data, size_t bytes) {
  OCTAVO_ASSERT(fd_ >= 0);
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    ssize_t written = ::write(fd_, next, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_write(target_, bytes, errno);
    next += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit() {
  OCTAVO_ASSERT(fd_ >= 0);
  if (fsync(fd_) != 0 && errno != EINVAL) fail_write(target_, 0, errno);
  OCTAVO_CHECK_CODE(io, rename(temporary_.c_str(), target_.c_str()) == 0,
                    "cannot rename {} to {}: {}", temporary_.string(), path_.string(),
                    std::strerror(errno));
  drop_name(registered_);
  int closed = close(fd_);
  fd_ = -1;
  if (closed != 0) fail_write(target_, 0, errno);
  sync_folder(folder_of(target_));
}

std::string write_failure_text(const fs::path& path, size_t bytes, int error) {
  struct statvfs status = {};
  if ((error == ENOSPC || error == EDQUOT) && statvfs(folder_of(path).c_str(), &status) == 0) {
    return fmt::format(
        "cannot write {}: {}; {} more bytes wanted, {} free on its file system; free some space or "
        "choose another folder",
        path.string(), std::strerror(error), bytes, uint64_t{status.f_bavail} * status.f_frsize);
  }
  return fmt::format("cannot write {} more bytes to {}: {}", bytes, path.string(),
                     std::strerror(error));
}

void remove_open_temporaries() noexcept {
  for (TemporaryName* name = names; name != nullptr; name = name->next) {
    if (name->visible) unlink(name->path);
  }
}

void write_file(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

std::string read_file(const fs::path& path, size_t limit) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  OCTAVO_CHECK_CODE(io, fd >= 0, "cannot open {}: {}", path.string(), std::strerror(errno));
  std::string content;
  ssize_t got = 0;
  do {
    size_t size = content.size(), step = std::min<size_t>(limit + 1 - size, size_t{1} << 20);
    content.resize(size + step);
    do {
      got = ::read(fd, content.data() + size, step);
    } while (got < 0 && errno == EINTR);
    content.resize(size + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  } while (got > 0 && content.size() <= limit);
  int error = errno;
  close(fd);
  OCTAVO_CHECK_CODE(io, got >= 0, "cannot read {}: {}", path.string(), std::strerror(error));
  OCTAVO_CHECK_FILE(content.size() <= limit, "{} has more than the {} bytes that are allowed here",
                    path.string(), limit);
  return content;
}

}  // namespace octavo
