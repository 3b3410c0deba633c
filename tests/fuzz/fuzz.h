#pragma once
// What all fuzz targets share: input that is wrong must end in an Error that says so.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/text.h"
#include "octavo/error.h"

namespace octavo::fuzz {

// Runs `read`. It may refuse its input with a short and printable message; any other exception, or
// an Error that blames our own code or the system, ends the program and so counts as a find.
template <class Read>
int refuse_or_accept(const Read& read) {
  try {
    read();
  } catch (const Error& error) {
    std::string text = error.what();
    bool blames_input = error.code() != ErrorCode::internal && error.code() != ErrorCode::io;
    if (blames_input && valid_utf8(text) && text.size() < 2000) return 0;
    std::fprintf(stderr, "bad refusal, code %d: %s\n", static_cast<int>(error.code()),
                 text.c_str());
    std::abort();
  }
  return 0;
}

inline void must(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

}  // namespace octavo::fuzz
