#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/check.h"
#include "base/text.h"
#include "io/json.h"
#include "io/safetensors.h"

namespace octavo {
namespace {

// Place of a type in the Python library's order of data, narrow first (safetensors 0.8, enum
// Dtype).
int order_of(DType dtype) {
  constexpr DType kOrder[] = {DType::boolean, DType::u8,   DType::i8,  DType::e5m2,
                              DType::e4m3,    DType::e8m0, DType::f16, DType::bf16,
                              DType::i32,     DType::f32,  DType::f64, DType::i64};
  return static_cast<int>(std::find(std::begin(kOrder), std::end(kOrder), dtype) - kOrder);
}

size_t bytes_of(const TensorDecl& decl) { return Tensor::typed(decl.dtype, decl.shape).bytes(); }

// JSON by hand around escaped strings: the order of keys is that of the declarations.
std::string quote(const std::string& text) { return Json(text).dump(); }

void check_names(const std::vector<TensorDecl>& tensors,
                 const std::map<std::string, std::string>& metadata) {
  std::set<std::string> seen{"__metadata__"};
  for (const TensorDecl& decl : tensors) {
    OCTAVO_CHECK(valid_utf8(decl.name), "tensor name \"{}\" is not UTF-8", printable(decl.name));
    OCTAVO_CHECK(seen.insert(decl.name).second, "tensor name \"{}\" is reserved or stands twice",
                 printable(decl.name));
    OCTAVO_CHECK(info(decl.dtype).safetensors != nullptr,
                 "tensor \"{}\": safetensors has no type for packed {}; declare the packed bytes "
                 "as u8",
                 printable(decl.name), name(decl.dtype));
  }
  for (const auto& [key, value] : metadata) {
    OCTAVO_CHECK(valid_utf8(key) && valid_utf8(value), "metadata \"{}\" is not UTF-8",
                 printable(key));
  }
}

std::string header_text(const std::vector<TensorDecl>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::vector<std::string> parts;
  if (!metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : metadata) pairs.push_back(quote(key) + ":" + quote(value));
    parts.push_back(fmt::format("\"__metadata__\":{{{}}}", fmt::join(pairs, ",")));
  }
  size_t offset = 0;
  for (const TensorDecl& decl : tensors) {
    size_t end = offset + bytes_of(decl);
    parts.push_back(fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                                quote(decl.name), info(decl.dtype).safetensors,
                                fmt::join(decl.shape, ","), offset, end));
    offset = end;
  }
  std::string text = fmt::format("{{{}}}", fmt::join(parts, ","));
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data begins at a multiple of 8
  return text;
}

}  // namespace

void sort_for_safetensors(std::vector<TensorDecl>& tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorDecl& a, const TensorDecl& b) {
    return std::pair(-order_of(a.dtype), std::string_view(a.name)) <
           std::pair(-order_of(b.dtype), std::string_view(b.name));
  });
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     std::vector<TensorDecl> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path), tensors_(std::move(tensors)) {
  check_names(tensors_, metadata);
  std::string text = header_text(tensors_, metadata);
  char length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<char>(text.size() >> (8 * i));
  file_.write(length, sizeof(length));
  file_.write(text);
  skip_full();
}

void SafetensorsWriter::skip_full() {
  while (current_ < tensors_.size() && written_ == bytes_of(tensors_[current_])) {
    ++current_;
    written_ = 0;
  }
}

void SafetensorsWriter::write(const std::string& name, const void* data, size_t bytes) {
  if (bytes == 0) return;  // a tensor without elements has had its turn
  OCTAVO_ASSERT(current_ < tensors_.size());
  const TensorDecl& decl = tensors_[current_];
  OCTAVO_CHECK_CODE(internal, decl.name == name, "{}: \"{}\" is written, it is the turn of \"{}\"",
                    file_.path().string(), printable(name), printable(decl.name));
  OCTAVO_CHECK_CODE(internal, bytes <= bytes_of(decl) - written_,
                    "{}: tensor \"{}\" gets {} bytes beyond its {}", file_.path().string(),
                    printable(name), bytes - (bytes_of(decl) - written_), bytes_of(decl));
  file_.write(data, bytes);
  written_ += bytes;
  skip_full();
}

void SafetensorsWriter::write(const std::string& name, const Tensor& tensor) {
  OCTAVO_CHECK(tensor.has_data(), "tensor \"{}\" has no data to write", printable(name));
  write(name, tensor.data(), tensor.bytes());
}

void SafetensorsWriter::finish() {
  OCTAVO_CHECK_CODE(internal, current_ == tensors_.size(),
                    "{}: tensor \"{}\" and {} more were not written", file_.path().string(),
                    printable(tensors_[current_].name), tensors_.size() - current_ - 1);
  file_.commit();
}

void save_safetensors(const std::filesystem::path& path,
                      const std::map<std::string, Tensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::vector<TensorDecl> decls;
  for (const auto& [name, tensor] : tensors)
    decls.push_back({name, tensor.dtype(), tensor.shape()});
  sort_for_safetensors(decls);
  SafetensorsWriter writer(path, decls, metadata);
  for (const TensorDecl& decl : decls) writer.write(decl.name, tensors.at(decl.name));
  writer.finish();
}

}  // namespace octavo
