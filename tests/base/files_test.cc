#include <sys/stat.h>

#include <cstring>

#include "base/atomic_file.h"
#include "base/folder.h"
#include "base/hash.h"
#include "base/mmap.h"

namespace octavo {
namespace {

using test::expect_error;
using test::Folder;

TEST(MappedFile, ShowsTheBytesAndOutlivesTheName) {
  Folder folder;
  write_file(folder / "a", "hello");
  std::shared_ptr<const MappedFile> file = MappedFile::open(folder / "a");
  std::filesystem::remove(folder / "a");
  ASSERT_EQ(file->size(), 5u);
  EXPECT_EQ(std::memcmp(file->data(), "hello", 5), 0);
  EXPECT_EQ(file->path(), folder / "a");
}

TEST(MappedFile, EmptyFile) {
  Folder folder;
  write_file(folder / "a", "");
  std::shared_ptr<const MappedFile> file = MappedFile::open(folder / "a");
  EXPECT_EQ(file->data(), nullptr);
  EXPECT_EQ(file->size(), 0u);
  file->release(0, 10);
}

TEST(MappedFile, ReleaseKeepsContents) {
  Folder folder;
  std::string content(100000, 'x');
  content[5000] = 'y';
  write_file(folder / "a", content);
  std::shared_ptr<const MappedFile> file = MappedFile::open(folder / "a");
  file->release(4999, 3);
  file->release(0, SIZE_MAX);
  file->release(99999, SIZE_MAX);
  file->release(SIZE_MAX, 1);
  EXPECT_EQ(std::memcmp(file->data(), content.data(), content.size()), 0);
}

TEST(MappedFile, Errors) {
  Folder folder;
  expect_error(ErrorCode::io, {"none", "No such file"}, [&] { MappedFile::open(folder / "none"); });
  expect_error(ErrorCode::io, {"a folder"}, [&] { MappedFile::open(folder.path()); });
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_error(ErrorCode::io, {"special file"}, [&] { MappedFile::open(folder / "pipe"); });
}

// Values of xxhsum -H2 (xxHash 0.8.1) for the same bytes.
TEST(Hash, KnownValues) {
  EXPECT_EQ(hash_hex(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(hash_hex("abc"), "06b05ab6733a618578af5f94892f3950");
}

TEST(Hash, PiecesEqualTheWhole) {
  std::string bytes;
  for (int i = 0; i < 5000; ++i) bytes.push_back(static_cast<char>(i * 7));
  Hasher hasher;
  hasher.update(bytes.substr(0, 1));
  hasher.update(nullptr, 0);
  hasher.update(bytes.substr(1, 3000));
  EXPECT_EQ(hasher.hex(), hash_hex(bytes.substr(0, 3001)));
  hasher.update(bytes.substr(3001));
  EXPECT_EQ(hasher.hex(), hash_hex(bytes));
  EXPECT_NE(hasher.hex(), hash_hex(bytes + '\0'));
}

}  // namespace
}  // namespace octavo
