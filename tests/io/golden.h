#pragma once
// Files of tests/io/golden (made by make_io_goldens.py), as bytes and damaged in every way.
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "base/atomic_file.h"
#include "base/folder.h"

namespace octavo::test {

inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(OCTAVO_SOURCE_DIR) / "tests/io/golden" / name;
}

inline std::string golden_bytes(const std::string& name) { return read_file(golden(name)); }

inline std::span<const std::byte> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Where files lie that make_io_goldens.py --check reads back with the Python libraries.
inline std::filesystem::path written(const std::string& name) {
  std::filesystem::path folder = std::filesystem::path(OCTAVO_BINARY_DIR) / "io_written";
  std::filesystem::create_directories(folder);
  return folder / name;
}

// Every prefix of a valid file must be refused with `code`, nothing else.
inline void expect_no_prefix_is_read(const std::string& file,
                                     const std::function<void(const std::string&)>& read) {
  for (size_t size = 0; size < file.size(); ++size) {
    std::optional<Error> error = error_of([&] { read(file.substr(0, size)); });
    ASSERT_TRUE(error.has_value()) << "the first " << size << " bytes were read as a whole file";
    ASSERT_EQ(static_cast<int>(error->code()), static_cast<int>(ErrorCode::bad_file))
        << error->what();
  }
}

// Any byte may be wrong: the file is read or refused with bad_file, no other error and no crash.
// Returns how many damaged files were refused.
inline int read_with_each_byte_changed(const std::string& file,
                                       const std::function<void(const std::string&)>& read) {
  int refused = 0;
  for (size_t at = 0; at < file.size(); ++at) {
    for (char value : {'\0', '\xff', '9', static_cast<char>(file[at] ^ 1)}) {
      std::string damaged = file;
      damaged[at] = value;
      if (std::optional<Error> error = error_of([&] { read(damaged); })) {
        ++refused;
        EXPECT_EQ(static_cast<int>(error->code()), static_cast<int>(ErrorCode::bad_file))
            << "byte " << at << ": " << error->what();
      }
    }
  }
  return refused;
}

}  // namespace octavo::test
