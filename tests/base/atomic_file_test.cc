#include "base/atomic_file.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <cerrno>
#include <fstream>

#include "base/folder.h"

namespace octavo {
namespace {

using test::expect_error;
using test::Folder;

TEST(AtomicFile, AppearsOnlyOnCommit) {
  Folder folder;
  AtomicFile file(folder / "out.bin");
  file.write("abc");
  file.write(std::string_view("\0d", 2));
  EXPECT_FALSE(std::filesystem::exists(folder / "out.bin"));
  file.commit();
  EXPECT_EQ(read_file(folder / "out.bin"), std::string("abc\0d", 5));
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFile, KeepsTheOldFileWithoutCommit) {
  Folder folder;
  write_file(folder / "out", "old");
  try {
    AtomicFile file(folder / "out");
    file.write("new");
    throw 1;
  } catch (int) {
  }
  EXPECT_EQ(read_file(folder / "out"), "old");
  EXPECT_EQ(folder.entries(), 1u);
  write_file(folder / "out", "new");
  EXPECT_EQ(read_file(folder / "out"), "new");
}

TEST(AtomicFile, FollowsLinksAndLongNames) {
  Folder folder;
  write_file(folder / "real", "old");
  std::filesystem::create_symlink(folder / "real", folder / "link");
  write_file(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_file(folder / "real"), "new");
  write_file(folder / std::string(255, 'n'), "x");
  EXPECT_EQ(read_file(folder / std::string(255, 'n')), "x");
}

TEST(AtomicFile, RefusesWhatIsNoFile) {
  Folder folder;
  expect_error(ErrorCode::io, {folder.path().string(), "is a folder"},
               [&] { AtomicFile file(folder.path()); });
  expect_error(ErrorCode::io, {"/dev/full", "device"}, [] { AtomicFile file("/dev/full"); });
  expect_error(ErrorCode::io, {"names no file"}, [] { AtomicFile file(""); });
  expect_error(ErrorCode::io, {"missing/out", "No such file", "make the folder"},
               [&] { AtomicFile file(folder / "missing/out"); });
  expect_error(ErrorCode::io, {"File name too long"},
               [&] { write_file(folder / std::string(256, 'n'), "x"); });
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(AtomicFile, ManyAtOnceEachWithItsOwnName) {
  Folder folder;
  {
    AtomicFile a(folder / "same"), b(folder / "same"), c(folder / "other");
    EXPECT_EQ(folder.entries(), 3u);
    a.write("a"), b.write("b");
    a.commit(), b.commit();
  }
  EXPECT_EQ(read_file(folder / "same"), "b");
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFile, SizeLimitIsAnErrorThatLeavesNothing) {
  Folder folder;
  rlimit before = {};
  getrlimit(RLIMIT_FSIZE, &before);
  auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = {1000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  expect_error(ErrorCode::io, {(folder / "out").string(), "1000 more bytes", "File too large"},
               [&] {
                 AtomicFile file(folder / "out");
                 file.write(std::string(600, 'x'));
                 file.write(std::string(1400, 'x'));
               });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(AtomicFile, FullDiskSaysHowMuchIsMissing) {
  Folder folder;
  std::string text = write_failure_text(folder / "out", 12345, ENOSPC);
  for (const char* part : {"out", "No space left", "12345 more bytes wanted", "free on its file"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

// A tmpfs of 64 KiB in a name space of its own; where the system forbids that, the two tests above
// stand alone.
void fill_small_disk(const std::filesystem::path& folder) {
  if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) _exit(77);
  mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  if (mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=64k") != 0) _exit(77);
  try {
    write_file(folder / "out", std::string(100000, 'x'));
  } catch (const Error& error) {
    std::string text = error.what();
    bool clear = text.find("No space left") != std::string::npos &&
                 text.find("34464 more bytes wanted, 0 free") != std::string::npos;
    if (!clear) fprintf(stderr, "%s\n", error.what());
    _exit(clear && std::filesystem::is_empty(folder) ? 0 : 1);
  }
  _exit(2);
}

TEST(AtomicFile, FullDiskLeavesNothing) {
  Folder folder;
  pid_t child = fork();
  if (child == 0) fill_small_disk(folder.path());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "this system lets no test mount a tmpfs";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(ReadFile, Errors) {
  Folder folder;
  write_file(folder / "ten", "0123456789");
  EXPECT_EQ(read_file(folder / "ten", 10), "0123456789");
  expect_error(ErrorCode::bad_file, {"ten", "more than the 9 bytes"},
               [&] { read_file(folder / "ten", 9); });
  expect_error(ErrorCode::io, {"none", "No such file"}, [&] { read_file(folder / "none"); });
  expect_error(ErrorCode::io, {"Is a directory"}, [&] { read_file(folder.path()); });
  write_file(folder / "empty", "");
  EXPECT_EQ(read_file(folder / "empty"), "");
}

}  // namespace
}  // namespace octavo
