#include "io/npz.h"

#include <zip.h>

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/mmap.h"
#include "base/text.h"
#include "io/safetensors.h"

namespace octavo {
namespace {

// Deflate cannot expand a byte to more than 1032 (a match of 258 bytes in 2 bits).
constexpr uint64_t kMaxDeflateRatio = 1032;
constexpr uint64_t kMaxMemberBytes = uint64_t{1} << 36;

struct ErrorText {
  zip_error_t error;
  ErrorText() { zip_error_init(&error); }
  ~ErrorText() { zip_error_fini(&error); }
  std::string text() { return printable(zip_error_strerror(&error)); }
};

struct Discard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
  void operator()(zip_file_t* member) const { zip_fclose(member); }
};
using Archive = std::unique_ptr<zip_t, Discard>;
using Member = std::unique_ptr<zip_file_t, Discard>;

Archive open_archive(std::span<const std::byte> file, const std::string& where) {
  // To the library, no bytes at all are an empty archive.
  OCTAVO_CHECK_FILE(!file.empty(), "{}: not a whole .npz archive: it is empty", where);
  ErrorText error;
  zip_source_t* source =
      zip_source_buffer_create(file.data(), file.size(), /*freep=*/0, &error.error);
  OCTAVO_CHECK_FILE(source != nullptr, "{}: not a zip archive: {}", where, error.text());
  Archive archive(zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error.error));
  if (!archive) {
    zip_source_free(source);
    OCTAVO_FAIL(bad_file, "{}: not a whole .npz archive: {}", where, error.text());
  }
  return archive;
}

// Size of a member once unpacked, checked against what its packed bytes can hold.
uint64_t member_bytes(const zip_stat_t& stat, const std::string& label) {
  constexpr uint64_t kNeeded = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
  OCTAVO_CHECK_FILE((stat.valid & kNeeded) == kNeeded, "{}: the archive does not say its size",
                    label);
  bool stored = stat.comp_method == ZIP_CM_STORE, deflated = stat.comp_method == ZIP_CM_DEFLATE;
  OCTAVO_CHECK_FILE(stored || deflated,
                    "{}: compression method {}; octavo reads 0 (stored) and 8 (deflated)", label,
                    stat.comp_method);
  OCTAVO_CHECK_FILE(
      !(stat.valid & ZIP_STAT_ENCRYPTION_METHOD) || stat.encryption_method == ZIP_EM_NONE,
      "{}: encrypted; save it without a password", label);
  uint64_t limit =
      stored ? stat.comp_size : std::min(stat.comp_size, kMaxMemberBytes) * kMaxDeflateRatio;
  OCTAVO_CHECK_FILE(stat.size <= std::min(limit, kMaxMemberBytes),
                    "{}: claims {} bytes, impossible for {} packed bytes", label, stat.size,
                    stat.comp_size);
  return stat.size;
}

std::vector<std::byte> read_member(zip_t* archive, uint64_t index, uint64_t bytes,
                                   const std::string& label) {
  Member member(zip_fopen_index(archive, index, 0));
  OCTAVO_CHECK_FILE(member != nullptr, "{}: cannot be unpacked: {}", label,
                    printable(zip_strerror(archive)));
  // Grown as bytes really arrive: the claimed size is only a claim until then. The last call finds
  // the end, which is where the library compares the checksum.
  std::vector<std::byte> content;
  zip_int64_t got = 0;
  do {
    size_t size = content.size();
    content.resize(size + std::min<uint64_t>(bytes + 1 - size, uint64_t{4} << 20));
    got = zip_fread(member.get(), content.data() + size, content.size() - size);
    content.resize(size + static_cast<size_t>(std::max<zip_int64_t>(got, 0)));
  } while (got > 0 && content.size() <= bytes);
  OCTAVO_CHECK_FILE(got >= 0, "{}: damaged: {}", label,
                    printable(zip_error_strerror(zip_file_get_error(member.get()))));
  OCTAVO_CHECK_FILE(content.size() == bytes, "{}: unpacks to {} bytes; the archive says {}", label,
                    content.size(), bytes);
  return content;
}

}  // namespace

std::map<std::string, Tensor> parse_npz(std::span<const std::byte> file, const std::string& where) {
  Archive archive = open_archive(file, where);
  std::map<std::string, Tensor> tensors;
  zip_int64_t members = zip_get_num_entries(archive.get(), 0);
  for (zip_int64_t i = 0; i < members; ++i) {
    uint64_t index = static_cast<uint64_t>(i);
    zip_stat_t stat;
    OCTAVO_CHECK_FILE(zip_stat_index(archive.get(), index, 0, &stat) == 0 && stat.name != nullptr,
                      "{}: member {}: {}", where, i, printable(zip_strerror(archive.get())));
    std::string name = stat.name;
    std::string label = fmt::format("{}: member \"{}\"", where, printable(name));
    OCTAVO_CHECK_FILE(name.size() > 4 && name.compare(name.size() - 4, 4, ".npy") == 0,
                      "{}: expected only *.npy in a .npz archive", label);
    std::vector<std::byte> content =
        read_member(archive.get(), index, member_bytes(stat, label), label);
    bool added = tensors.emplace(name.substr(0, name.size() - 4), parse_npy(content, label)).second;
    OCTAVO_CHECK_FILE(added, "{}: stands twice in the archive", label);
  }
  return tensors;
}

std::map<std::string, Tensor> load_tensors(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::map<std::string, Tensor> tensors;
  if (extension == ".safetensors") {
    auto file = SafetensorsFile::open(path);
    for (const auto& [name, entry] : file->entries()) tensors[name] = file->tensor(name);
    return tensors;
  }
  OCTAVO_CHECK(extension == ".npz" || extension == ".npy",
               "{}: cannot tell what file this is; expected .safetensors, .npz or .npy",
               path.string());
  auto file = MappedFile::open(path);
  std::span<const std::byte> bytes(file->data(), file->size());
  if (extension == ".npz") return parse_npz(bytes, path.string());
  tensors[path.stem().string()] = parse_npy(bytes, path.string());
  return tensors;
}

}  // namespace octavo
