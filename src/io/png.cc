#include "io/png.h"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/mmap.h"
#include "base/text.h"

namespace octavo {
namespace {

constexpr uint64_t kMaxDeflateRatio = 1032;  // a match of 258 bytes in 2 bits

constexpr size_t kMaxPackedText = size_t{4} << 20;
constexpr png_uint_32 kMaxTexts = 128;

// libpng reports an error by longjmp. Whatever has a destructor lives in these objects, outside the
// functions that call setjmp; their error text is turned into an Error after the jump.
struct Writer {
  const Image& image;
  std::vector<png_text> chunks;
  std::string out, error;
  png_structp png = nullptr;
  png_infop info = nullptr;
  ~Writer() { png_destroy_write_struct(&png, &info); }
};

struct Reader {
  std::span<const std::byte> file;
  size_t position = 0;
  Image image;
  uint64_t packed_bytes = 0;  // of the pixels as the file has them, before compression
  std::vector<png_bytep> rows;
  std::string error;
  png_structp png = nullptr;
  png_infop info = nullptr;
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

template <class State>
void on_error(png_structp png, png_const_charp message) {
  static_cast<State*>(png_get_error_ptr(png))->error = message;
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}  // of ancillary chunks, which do not matter here

void append(png_structp png, png_bytep data, size_t bytes) {
  static_cast<Writer*>(png_get_io_ptr(png))->out.append(reinterpret_cast<char*>(data), bytes);
}

void fetch(png_structp png, png_bytep data, size_t bytes) {
  Reader& reader = *static_cast<Reader*>(png_get_io_ptr(png));
  if (bytes > reader.file.size() - reader.position) png_error(png, "the file is truncated");
  std::memcpy(data, reader.file.data() + reader.position, bytes);
  reader.position += bytes;
}

bool write_all(Writer& w) {
  if (setjmp(png_jmpbuf(w.png))) return false;
  png_set_write_fn(w.png, &w, append, nullptr);
  png_set_user_limits(w.png, kMaxPngSide, kMaxPngSide);
  png_uint_32 width = static_cast<png_uint_32>(w.image.width);
  png_uint_32 height = static_cast<png_uint_32>(w.image.height);
  png_set_IHDR(w.png, w.info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_compression_level(w.png, 6);
  png_set_text(w.png, w.info, w.chunks.data(), static_cast<int>(w.chunks.size()));
  png_write_info(w.png, w.info);
  for (png_uint_32 y = 0; y < height; ++y) {
    png_write_row(w.png, w.image.rgb.data() + size_t{y} * width * 3);
  }
  png_write_end(w.png, w.info);
  return true;
}

bool read_info(Reader& r) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  png_set_read_fn(r.png, &r, fetch);
  png_set_user_limits(r.png, kMaxPngSide, kMaxPngSide);
  // For packed text, which may expand; check_chunks() has bounded everything else.
  png_set_chunk_malloc_max(r.png, std::max(kMaxPackedText, r.file.size()));
  png_set_chunk_cache_max(r.png, kMaxTexts);
  png_set_crc_action(r.png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_read_info(r.png, r.info);
  png_byte color = png_get_color_type(r.png, r.info);
  if ((color & PNG_COLOR_MASK_ALPHA) || png_get_valid(r.png, r.info, PNG_INFO_tRNS)) {
    png_error(r.png, "it has transparency; expected an opaque picture");
  }
  r.packed_bytes = uint64_t{png_get_rowbytes(r.png, r.info)} * png_get_image_height(r.png, r.info);
  png_set_expand(r.png);
  png_set_scale_16(r.png);
  if (!(color & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(r.png);
  png_set_interlace_handling(r.png);
  png_read_update_info(r.png, r.info);
  r.image.width = png_get_image_width(r.png, r.info);
  r.image.height = png_get_image_height(r.png, r.info);
  if (png_get_rowbytes(r.png, r.info) != static_cast<size_t>(r.image.width) * 3) {
    png_error(r.png, "its pixels do not convert to 8-bit RGB");
  }
  return true;
}

bool read_pixels(Reader& r) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  png_read_image(r.png, r.rows.data());
  png_read_end(r.png, r.info);
  return true;
}

void check_text(const std::string& key, const std::string& value) {
  auto printable_ascii = [](char c) { return c >= 0x20 && c < 0x7f; };
  bool good = !key.empty() && key.size() <= 79 && key.front() != ' ' && key.back() != ' ' &&
              key.find("  ") == std::string::npos &&
              std::all_of(key.begin(), key.end(), printable_ascii);
  OCTAVO_CHECK(good, "PNG text key \"{}\"; expected 1 to 79 ASCII characters, single spaces inside",
               printable(key));
  OCTAVO_CHECK(valid_utf8(value) && value.find('\0') == std::string::npos,
               "PNG text \"{}\" is not UTF-8 without NUL", key);
}

// libpng allocates what a chunk claims before it reads; so claims must be true first. The chunks: 4
// bytes length, 4 bytes name, data, 4 bytes checksum.
void check_chunks(std::span<const std::byte> file, const std::string& where) {
  const png_byte* bytes = reinterpret_cast<const png_byte*>(file.data());
  OCTAVO_CHECK_FILE(file.size() >= 8 && png_sig_cmp(bytes, 0, 8) == 0,
                    "{}: the first bytes are not those of a PNG", where);
  bool last = false;
  for (size_t at = 8; !last;) {
    size_t left = file.size() - at;
    OCTAVO_CHECK_FILE(left >= 12, "{}: truncated PNG: no IEND chunk up to byte {}", where, at);
    size_t length = png_get_uint_32(bytes + at);
    OCTAVO_CHECK_FILE(length <= left - 12,
                      "{}: truncated PNG: the chunk at byte {} has {} bytes, {} are left", where,
                      at, length, left - 12);
    last = std::memcmp(bytes + at + 4, "IEND", 4) == 0;
    at += 12 + length;
  }
}

// ASCII goes into tEXt; anything else into iTXt, whose text is UTF-8 (tEXt is Latin-1).
png_text text_chunk(const std::string& key, const std::string& value) {
  bool ascii = std::all_of(value.begin(), value.end(), [](char c) { return (c & 0x80) == 0; });
  png_text chunk = {};
  chunk.compression = ascii ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
  chunk.key = const_cast<char*>(key.c_str());
  chunk.text = const_cast<char*>(value.c_str());
  (ascii ? chunk.text_length : chunk.itxt_length) = value.size();
  return chunk;
}

std::string latin1_to_utf8(const char* text) {
  std::string out;
  for (; *text != '\0'; ++text) {
    uint8_t c = static_cast<uint8_t>(*text);
    if (c < 0x80) {
      out += *text;
    } else {
      out += static_cast<char>(0xc0 | c >> 6);
      out += static_cast<char>(0x80 | (c & 0x3f));
    }
  }
  return out;
}

std::map<std::string, std::string> text_of(const Reader& r) {
  png_textp chunks = nullptr;
  int count = png_get_text(r.png, r.info, &chunks, nullptr);
  std::map<std::string, std::string> text;
  for (int i = 0; i < count; ++i) {
    bool utf8 = chunks[i].compression >= PNG_ITXT_COMPRESSION_NONE;
    const char* value = chunks[i].text == nullptr ? "" : chunks[i].text;
    text.emplace(latin1_to_utf8(chunks[i].key), utf8 ? std::string(value) : latin1_to_utf8(value));
  }
  return text;
}

}  // namespace

std::string encode_png(const Image& image, const std::map<std::string, std::string>& text) {
  OCTAVO_CHECK(image.width >= 1 && image.width <= kMaxPngSide && image.height >= 1 &&
                   image.height <= kMaxPngSide,
               "a picture of {}x{} pixels; expected 1 to {} a side", image.width, image.height,
               kMaxPngSide);
  OCTAVO_CHECK(image.rgb.size() == static_cast<size_t>(image.width * image.height * 3),
               "a picture of {}x{} pixels with {} bytes; expected 3 a pixel", image.width,
               image.height, image.rgb.size());
  Writer w{image, {}, {}, {}};
  for (const auto& [key, value] : text) {
    check_text(key, value);
    w.chunks.push_back(text_chunk(key, value));
  }
  w.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, on_error<Writer>, on_warning);
  OCTAVO_CHECK_CODE(internal, w.png != nullptr, "libpng: {}", w.error);
  w.info = png_create_info_struct(w.png);
  OCTAVO_CHECK_CODE(internal, w.info != nullptr && write_all(w), "cannot encode a PNG: {}",
                    w.error);
  return std::move(w.out);
}

Png decode_png(std::span<const std::byte> file, const std::string& where) {
  check_chunks(file, where);
  Reader r;
  r.file = file;
  r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error<Reader>, on_warning);
  OCTAVO_CHECK_CODE(internal, r.png != nullptr, "libpng: {}", r.error);
  r.info = png_create_info_struct(r.png);
  OCTAVO_CHECK_FILE(r.info != nullptr && read_info(r), "{}: not a PNG that octavo reads: {}", where,
                    printable(r.error));
  OCTAVO_CHECK_FILE(r.packed_bytes / kMaxDeflateRatio <= file.size(),
                    "{}: {}x{} pixels cannot be packed in {} bytes", where, r.image.width,
                    r.image.height, file.size());
  r.image.rgb.resize(static_cast<size_t>(r.image.width * r.image.height * 3));
  for (int64_t y = 0; y < r.image.height; ++y) {
    r.rows.push_back(r.image.rgb.data() + y * r.image.width * 3);
  }
  OCTAVO_CHECK_FILE(read_pixels(r), "{}: damaged PNG: {}", where, printable(r.error));
  return {std::move(r.image), text_of(r)};
}

void write_png(const std::filesystem::path& path, const Image& image,
               const std::map<std::string, std::string>& text) {
  write_file(path, encode_png(image, text));
}

Png read_png(const std::filesystem::path& path) {
  auto file = MappedFile::open(path);
  return decode_png({file->data(), file->size()}, path.string());
}

}  // namespace octavo
