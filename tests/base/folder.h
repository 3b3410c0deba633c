#pragma once
// What tests of files need: an empty folder of their own, and the code and text of an Error.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "octavo/error.h"

namespace octavo::test {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "octavo-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  size_t entries() const {
    size_t n = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(path_)) ++n;
    return n;
  }

 private:
  std::filesystem::path path_;
};

inline std::optional<Error> error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

// `call` throws Error of this code, and its message holds every one of `parts`.
inline void expect_error(ErrorCode code, std::initializer_list<std::string> parts,
                         const std::function<void()>& call) {
  std::optional<Error> error = error_of(call);
  ASSERT_TRUE(error.has_value()) << "no error; expected one that says \"" << *parts.begin() << "\"";
  EXPECT_EQ(static_cast<int>(error->code()), static_cast<int>(code)) << error->what();
  for (const std::string& part : parts) {
    EXPECT_NE(std::string(error->what()).find(part), std::string::npos)
        << "\"" << part << "\" is not in: " << error->what();
  }
}

}  // namespace octavo::test
