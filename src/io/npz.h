#pragma once
// NumPy's containers. npy: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
// (versions 1 to 3); npz: a zip of *.npy, stored or deflated.
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace octavo {

// What the header of a .npy declares. Types: little-endian f2 f4 f8 i1 u1 i4 i8 b1.
struct NpyHeader {
  DType dtype = DType::f32;
  bool fortran_order = false;
  Shape shape;
  size_t data_begin = 0;  // byte offset
};

// `prefix`: the file's first bytes, as far as they are at hand; `file_bytes`: the size of the
// whole. Error{bad_file} names `where`; a type that octavo does not read is Error{bad_file} too,
// and says how to convert.
NpyHeader parse_npy_header(std::string_view prefix, size_t file_bytes, const std::string& where);
// Whole .npy files; the tensors own their data and are in C order whatever the file's order.
Tensor parse_npy(std::span<const std::byte> file, const std::string& where);
// Members by name without ".npy". Memory is bounded by what the archive can really hold: sizes that
// no deflated stream of its length expands to are refused before anything is allocated.
std::map<std::string, Tensor> parse_npz(std::span<const std::byte> file, const std::string& where);

// All tensors of a file by its extension: .safetensors (views), .npz, or .npy (one tensor, named
// like the file without extension).
std::map<std::string, Tensor> load_tensors(const std::filesystem::path& path);

}  // namespace octavo
