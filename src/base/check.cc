#include "base/check.h"

namespace octavo {

void throw_error(ErrorCode code, const std::string& message) { throw Error(code, message); }

void throw_assert(const char* condition, const char* file, int line) {
  throw Error(ErrorCode::internal,
              fmt::format("{}:{}: assertion failed: {} (a bug in octavo; please report it)", file,
                          line, condition));
}

}  // namespace octavo
