#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/check.h"
#include "base/text.h"
#include "io/npz.h"

namespace octavo {
namespace {

constexpr size_t kMaxHeaderBytes = size_t{1} << 16;
constexpr size_t kMaxRank = 32;

struct TypeCode {
  std::string_view code;
  DType dtype;
};
constexpr TypeCode kTypes[] = {{"<f4", DType::f32}, {"<f2", DType::f16},    {"<f8", DType::f64},
                               {"|i1", DType::i8},  {"|u1", DType::u8},     {"<i4", DType::i32},
                               {"<i8", DType::i64}, {"|b1", DType::boolean}};

// The header's Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  NpyHeader parse() {
    NpyHeader header;
    bool seen[3] = {};
    expect("{");
    while (!take("}")) {
      std::string_view key = quoted();
      expect(":");
      int which = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : -1;
      if (which < 0 || seen[which]) fail("each of descr, fortran_order and shape once");
      seen[which] = true;
      if (which == 0) header.dtype = dtype();
      if (which == 1) header.fortran_order = boolean();
      if (which == 2) header.shape = shape();
      if (!take(",")) {
        expect("}");
        break;
      }
    }
    skip_space();
    if (!text_.empty() || !seen[0] || !seen[1] || !seen[2]) {
      fail("one object of descr, fortran_order and shape");
    }
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    OCTAVO_FAIL(bad_file, "{}: .npy header at \"{}\": expected {}", where_, printable(text_, 40),
                expected);
  }

  void skip_space() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n')) text_.remove_prefix(1);
  }

  bool take(std::string_view token) {
    skip_space();
    if (text_.substr(0, token.size()) != token) return false;
    text_.remove_prefix(token.size());
    return true;
  }

  void expect(std::string_view token) {
    if (!take(token)) fail(fmt::format("\"{}\"", token));
  }

  std::string_view quoted() {
    skip_space();
    char quote = text_.empty() ? '\0' : text_[0];
    if (quote != '\'' && quote != '"') fail("a quoted string (arrays of records are not read)");
    size_t end = text_.find(quote, 1);
    if (end == std::string_view::npos) fail("a closed string");
    std::string_view content = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return content;
  }

  DType dtype() {
    std::string_view code = quoted();
    for (const TypeCode& type : kTypes) {
      // One byte has no order: any mark is right.
      bool byte = type.code[0] == '|' && code.size() == 3;
      if (code == type.code || (byte && code.substr(1) == type.code.substr(1))) return type.dtype;
    }
    std::string codes;
    for (const TypeCode& type : kTypes) codes += " " + std::string(type.code);
    OCTAVO_FAIL(bad_file, "{}: element type \"{}\"; octavo reads{}: convert with .astype() first",
                where_, printable(code), codes);
  }

  bool boolean() {
    if (take("True")) return true;
    expect("False");
    return false;
  }

  Shape shape() {
    Shape dims;
    expect("(");
    while (!take(")")) {
      skip_space();
      int64_t dim = 0;
      auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), dim);
      if (error != std::errc() || dim < 0 || dims.size() == kMaxRank) {
        fail(fmt::format("at most {} whole numbers from 0 to 2^63-1", kMaxRank));
      }
      text_.remove_prefix(static_cast<size_t>(end - text_.data()));
      dims.push_back(dim);
      if (!take(",")) {
        expect(")");
        break;
      }
    }
    return dims;
  }

  std::string_view text_;
  const std::string& where_;
};

// Copies elements of `width` bytes from Fortran order (first axis fastest) to C order.
void copy_from_fortran(const char* src, char* dst, const Shape& shape, size_t width) {
  std::vector<size_t> stride(shape.size()), index(shape.size(), 0);
  size_t count = 1;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    stride[axis] = count;
    count *= static_cast<size_t>(shape[axis]);
  }
  size_t from = 0;
  for (size_t to = 0; to < count; ++to) {
    std::memcpy(dst + to * width, src + from * width, width);
    for (size_t axis = shape.size(); axis-- > 0;) {
      from += stride[axis];
      if (++index[axis] < static_cast<size_t>(shape[axis])) break;
      from -= stride[axis] * index[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace

NpyHeader parse_npy_header(std::string_view prefix, size_t file_bytes, const std::string& where) {
  constexpr std::string_view kMagic("\x93NUMPY", 6);
  OCTAVO_CHECK_FILE(prefix.size() >= 10 && prefix.substr(0, 6) == kMagic,
                    "{}: no .npy header; expected the bytes \\x93NUMPY, a version and a length",
                    where);
  auto byte = [&](size_t i) { return static_cast<uint8_t>(prefix[i]); };
  int version = byte(6);
  OCTAVO_CHECK_FILE(version >= 1 && version <= 3, "{}: .npy version {}; octavo reads 1 to 3", where,
                    version);
  size_t begin = version == 1 ? 10 : 12;
  OCTAVO_CHECK_FILE(prefix.size() >= begin, "{}: the .npy header is truncated", where);
  size_t length = byte(8) + (size_t{byte(9)} << 8);
  if (version > 1) length += (size_t{byte(10)} << 16) + (size_t{byte(11)} << 24);
  OCTAVO_CHECK_FILE(length <= kMaxHeaderBytes && length <= prefix.size() - begin,
                    "{}: .npy header of {} bytes; the file has {}, and at most {} are read", where,
                    length, prefix.size() - begin, kMaxHeaderBytes);
  NpyHeader header = HeaderParser(prefix.substr(begin, length), where).parse();
  header.data_begin = begin + length;
  size_t expected = 0;
  try {
    expected = Tensor::typed(header.dtype, header.shape).bytes();
  } catch (const Error& error) {
    OCTAVO_FAIL(bad_file, "{}: impossible shape: {}", where, error.what());
  }
  OCTAVO_CHECK_FILE(
      file_bytes - header.data_begin == expected, "{}: {} bytes of data; {} of shape {} has {}",
      where, file_bytes - header.data_begin, name(header.dtype), to_string(header.shape), expected);
  return header;
}

Tensor parse_npy(std::span<const std::byte> file, const std::string& where) {
  const char* bytes = reinterpret_cast<const char*>(file.data());
  NpyHeader header = parse_npy_header({bytes, file.size()}, file.size(), where);
  Tensor tensor = Tensor::empty(header.dtype, header.shape);
  char* dst = static_cast<char*>(tensor.mutable_data());
  const char* src = bytes + header.data_begin;
  if (header.fortran_order && tensor.rank() > 1) {
    copy_from_fortran(src, dst, header.shape, static_cast<size_t>(info(header.dtype).bits) / 8);
  } else {
    std::memcpy(dst, src, tensor.bytes());
  }
  return tensor;
}

}  // namespace octavo
