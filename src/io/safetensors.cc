#include "io/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/text.h"
#include "io/json.h"

namespace octavo {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the Python library

// Types that the format knows and this project has no element type for.
constexpr const char* kOtherTypes[] = {"I16", "U16",     "U32",     "U64",         "C64",
                                       "F4",  "F6_E2M3", "F6_E3M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"};

uint64_t read_le64(const std::byte* bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

// Reads one tensor's header object; `label` names file and tensor.
class EntryReader {
 public:
  EntryReader(const Json& json, std::string label) : json_(json), label_(std::move(label)) {
    OCTAVO_CHECK_FILE(json.is_object(), "{}: {}; expected an object", label_, describe(json));
    for (const auto& item : json.items()) {
      OCTAVO_CHECK_FILE(
          item.key() == "dtype" || item.key() == "shape" || item.key() == "data_offsets",
          "{}: unknown key \"{}\"; expected dtype, shape and data_offsets", label_,
          printable(item.key()));
    }
  }

  // Offsets relative to the data section of `data_bytes` bytes.
  SafetensorsEntry read(uint64_t data_bytes) const {
    SafetensorsEntry entry{dtype(), shape(), 0, 0};
    std::vector<uint64_t> offsets = numbers("data_offsets");
    OCTAVO_CHECK_FILE(offsets.size() == 2 && offsets[0] <= offsets[1],
                      "{}: data_offsets {}; expected [begin, end] with begin <= end", label_,
                      describe(json_["data_offsets"]));
    OCTAVO_CHECK_FILE(offsets[1] <= data_bytes,
                      "{}: data ends at byte {} of the data section but the file has only {} "
                      "bytes of data; it is truncated or damaged",
                      label_, offsets[1], data_bytes);
    size_t expected = bytes_of(entry);
    OCTAVO_CHECK_FILE(offsets[1] - offsets[0] == expected,
                      "{}: {} bytes of data; {} of shape {} has {}", label_,
                      offsets[1] - offsets[0], info(entry.dtype).safetensors,
                      printable(to_string(entry.shape)), expected);
    entry.begin = offsets[0], entry.end = offsets[1];
    return entry;
  }

 private:
  const Json& at(const char* key) const {
    auto found = json_.find(key);
    OCTAVO_CHECK_FILE(found != json_.end(), "{}: key \"{}\" is missing", label_, key);
    return *found;
  }

  DType dtype() const {
    const Json& value = at("dtype");
    OCTAVO_CHECK_FILE(value.is_string(), "{}: dtype {}; expected a string as \"F32\"", label_,
                      describe(value));
    std::string text = value.get<std::string>();
    if (std::optional<DType> found = find_safetensors_dtype(text)) return *found;
    bool other =
        std::find(std::begin(kOtherTypes), std::end(kOtherTypes), text) != std::end(kOtherTypes);
    std::string names;
    for (const DTypeInfo& row : dtype_table()) {
      if (row.safetensors != nullptr) names += fmt::format(" {}", row.safetensors);
    }
    OCTAVO_FAIL(bad_file, "{}: dtype {} is {}; octavo reads{}", label_, describe(value),
                other ? "not supported: convert the tensor" : "unknown", names);
  }

  std::vector<uint64_t> numbers(const char* key) const {
    const Json& value = at(key);
    bool good = value.is_array();
    std::vector<uint64_t> result;
    if (good) {
      for (const Json& number : value) {
        good = good && number.is_number_unsigned() && number.get<uint64_t>() <= INT64_MAX;
        if (good) result.push_back(number.get<uint64_t>());
      }
    }
    OCTAVO_CHECK_FILE(good, "{}: {} is {}; expected an array of whole numbers from 0 to 2^63-1",
                      label_, key, describe(value));
    return result;
  }

  Shape shape() const {
    std::vector<uint64_t> dims = numbers("shape");
    return Shape(dims.begin(), dims.end());
  }

  size_t bytes_of(const SafetensorsEntry& entry) const {
    try {
      return Tensor::typed(entry.dtype, entry.shape).bytes();
    } catch (const Error& error) {
      OCTAVO_FAIL(bad_file, "{}: impossible shape: {}", label_, printable(error.what(), 200));
    }
  }

  const Json& json_;
  std::string label_;
};

// The data section must be covered exactly once.
void check_layout(const std::map<std::string, SafetensorsEntry>& entries, uint64_t data_bytes,
                  const std::string& where) {
  struct Piece {
    uint64_t begin, end;
    const std::string* name;
  };
  std::vector<Piece> pieces;
  for (const auto& [name, entry] : entries) pieces.push_back({entry.begin, entry.end, &name});
  std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t covered = 0;
  const std::string* previous = nullptr;
  for (const Piece& piece : pieces) {
    OCTAVO_CHECK_FILE(piece.begin >= covered,
                      "{}: tensor \"{}\" begins at byte {} of the data section, inside tensor "
                      "\"{}\" that ends at {}",
                      where, printable(*piece.name), piece.begin, printable(*previous), covered);
    OCTAVO_CHECK_FILE(piece.begin == covered,
                      "{}: bytes {} to {} of the data section, before tensor \"{}\", belong to no "
                      "tensor",
                      where, covered, piece.begin, printable(*piece.name));
    covered = piece.end;
    previous = piece.name;
  }
  OCTAVO_CHECK_FILE(covered == data_bytes, "{}: {} bytes follow the last tensor; expected none",
                    where, data_bytes - covered);
}

std::map<std::string, std::string> read_metadata(const Json& json, const std::string& where) {
  OCTAVO_CHECK_FILE(json.is_object(), "{}: __metadata__ is {}; expected an object of strings",
                    where, describe(json));
  std::map<std::string, std::string> metadata;
  for (const auto& item : json.items()) {
    OCTAVO_CHECK_FILE(item.value().is_string(),
                      "{}: __metadata__ key \"{}\" is {}; expected a string", where,
                      printable(item.key()), describe(item.value()));
    metadata[item.key()] = item.value().get<std::string>();
  }
  return metadata;
}

}  // namespace

SafetensorsHeader parse_safetensors(std::span<const std::byte> file, const std::string& where) {
  OCTAVO_CHECK_FILE(file.size() >= 8,
                    "{}: {} bytes; a safetensors file begins with 8 bytes of header length", where,
                    file.size());
  uint64_t length = read_le64(file.data());
  OCTAVO_CHECK_FILE(length <= kMaxHeaderBytes,
                    "{}: header of {} bytes, expected at most {}; this is no safetensors file",
                    where, length, kMaxHeaderBytes);
  OCTAVO_CHECK_FILE(length <= file.size() - 8,
                    "{}: header of {} bytes but only {} follow; the file is truncated", where,
                    length, file.size() - 8);
  std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, length);
  OCTAVO_CHECK_FILE(
      text.substr(0, 1) == "{",
      "{}: the header begins with \"{}\", expected \"{{\"; this is no safetensors file", where,
      printable(text.substr(0, 1)));
  Json json = parse_json(text, where + " (header)");
  size_t data_begin = 8 + length;
  SafetensorsHeader header;
  for (const auto& item : json.items()) {
    if (item.key() == "__metadata__") {
      header.metadata = read_metadata(item.value(), where);
    } else {
      EntryReader reader(item.value(),
                         fmt::format("{}: tensor \"{}\"", where, printable(item.key())));
      header.entries[item.key()] = reader.read(file.size() - data_begin);
    }
  }
  check_layout(header.entries, file.size() - data_begin, where);
  for (auto& [name, entry] : header.entries) {
    entry.begin += data_begin;
    entry.end += data_begin;
  }
  return header;
}

std::shared_ptr<const SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  auto file = std::make_shared<SafetensorsFile>();
  file->file_ = MappedFile::open(path);
  file->header_ = parse_safetensors({file->file_->data(), file->file_->size()}, path.string());
  return file;
}

const SafetensorsEntry& SafetensorsFile::entry(const std::string& name) const {
  auto found = entries().find(name);
  OCTAVO_CHECK_FILE(found != entries().end(), "{}: no tensor \"{}\" among its {}", path().string(),
                    printable(name), entries().size());
  return found->second;
}

Tensor SafetensorsFile::tensor(const std::string& name) const {
  const Entry& e = entry(name);
  const std::byte* data = file_->data() + e.begin;
  size_t width = static_cast<size_t>(info(e.dtype).bits) / 8;
  if (reinterpret_cast<uintptr_t>(data) % width == 0) {
    return Tensor::view(e.dtype, e.shape, data, file_);
  }
  Tensor copy = Tensor::empty(e.dtype, e.shape);
  std::memcpy(copy.mutable_data(), data, e.end - e.begin);
  return copy;
}

void SafetensorsFile::release(const std::string& name) const {
  const Entry& e = entry(name);
  file_->release(e.begin, e.end - e.begin);
}

}  // namespace octavo
