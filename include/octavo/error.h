#pragma once
#include <stdexcept>
#include <string>

namespace octavo {

// Why a call failed. The command line maps each code to an exit code (docs/errors in README).
enum class ErrorCode {
  invalid_argument,  // a value, option, prompt or shape the caller gave
  bad_file,          // a file exists but its content is wrong (truncated, hostile, mismatched)
  io,                // the operating system refused: missing path, permission, disk full
  unsupported,       // valid, but no kernel or family here can do it
  not_finite,        // NaN or Inf where numbers are needed
  cancelled,         // the user interrupted
  out_of_memory,     // a device has not the memory asked for
  device,            // a device failed or was lost
  internal,          // our own bug
};

// Everything a user, a file or the system can cause is thrown as this. The message names the file,
// tensor or layer, the value found, the value expected, and where possible how to mend it.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace octavo
