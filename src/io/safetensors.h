#pragma once
// The safetensors container: 8 bytes little-endian header length, a JSON header, then the tensors'
// bytes with no gaps. Format: https://github.com/huggingface/safetensors#format
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/mmap.h"
#include "tensor/tensor.h"

namespace octavo {

struct SafetensorsEntry {
  DType dtype;
  Shape shape;
  size_t begin, end;  // byte offsets in the file
};

struct SafetensorsHeader {
  std::map<std::string, SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

// Checks the header of a whole file against its size: afterwards every entry's bytes lie in the
// file, none overlap and all are accounted for. Error{bad_file} names `where`, the tensor, what was
// found and what is expected.
SafetensorsHeader parse_safetensors(std::span<const std::byte> file, const std::string& where);

// One mapped file. Tensors are views of the mapping and keep it alive.
class SafetensorsFile {
 public:
  using Entry = SafetensorsEntry;
  static std::shared_ptr<const SafetensorsFile> open(const std::filesystem::path& path);

  const std::map<std::string, Entry>& entries() const { return header_.entries; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  bool contains(const std::string& name) const { return entries().count(name) != 0; }
  // Error{bad_file} with file and name if there is none.
  const Entry& entry(const std::string& name) const;
  // A view; a copy where the file has the data at an address the type cannot be read from.
  Tensor tensor(const std::string& name) const;
  // The tensor's pages are not needed soon.
  void release(const std::string& name) const;
  const std::filesystem::path& path() const { return file_->path(); }

 private:
  std::shared_ptr<const MappedFile> file_;
  SafetensorsHeader header_;
};

struct TensorDecl {
  std::string name;
  DType dtype;
  Shape shape;
};

// Sorts as the Python library writes: wide types first, so that all data is aligned, then by name.
void sort_for_safetensors(std::vector<TensorDecl>& tensors);

// Writes a file tensor by tensor: memory does not grow with the file, and the bytes depend on
// declarations, metadata and data only. Nothing is left behind without finish().
class SafetensorsWriter {
 public:
  // Error{invalid_argument} for names that stand twice or are not UTF-8, and for packed types
  // (fewer than 8 bits): those are declared as u8 of the packed shape.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorDecl> tensors,
                    const std::map<std::string, std::string>& metadata);
  // The next bytes of the tensor whose turn it is; tensors come in declared order.
  void write(const std::string& name, const void* data, size_t bytes);
  void write(const std::string& name, const Tensor& tensor);
  void finish();

 private:
  void skip_full();

  AtomicFile file_;
  std::vector<TensorDecl> tensors_;
  size_t current_ = 0, written_ = 0;  // the tensor whose turn it is, and how much of it is there
};

void save_safetensors(const std::filesystem::path& path,
                      const std::map<std::string, Tensor>& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace octavo
