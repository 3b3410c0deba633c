#include "io/png.h"

#include <sys/resource.h>
#include <csignal>
#include <cstring>

#include "io/golden.h"
#include "io/safetensors.h"

namespace octavo {
namespace {

using test::as_bytes;
using test::expect_error;
using test::golden;
using test::golden_bytes;

// picture() of make_io_goldens.py.
Image picture() {
  Image image{7, 5, {}};
  for (int i = 0; i < 7 * 5 * 3; ++i) image.rgb.push_back(static_cast<uint8_t>(37 * i + 11));
  return image;
}

const std::map<std::string, std::string> kText{{"prompt", "a red apple"},
                                               {"unicode", "ein Flügel ☃"}};

TEST(Png, ReadsWhatPillowWrote) {
  auto pixels = SafetensorsFile::open(golden("pixels.safetensors"));
  for (const auto& [name, entry] : pixels->entries()) {
    Png png = read_png(golden(name + ".png"));
    EXPECT_EQ(png.image.width, 7);
    EXPECT_EQ(png.image.height, 5);
    ASSERT_EQ(png.image.rgb.size(), entry.end - entry.begin);
    EXPECT_EQ(std::memcmp(png.image.rgb.data(), pixels->tensor(name).data(), png.image.rgb.size()),
              0)
        << name;
  }
  std::map<std::string, std::string> text = read_png(golden("rgb.png")).text;
  EXPECT_EQ(text["prompt"], "a red apple");
  EXPECT_EQ(text["latin"], "café");
  EXPECT_EQ(text["unicode"], "ein Flügel ☃");
  EXPECT_EQ(text["packed"], std::string(500, 'x'));
  EXPECT_EQ(text.size(), 4u);
}

TEST(Png, RoundTrip) {
  std::filesystem::path path = test::written("picture.png");
  write_png(path, picture(), kText);
  Png png = read_png(path);
  EXPECT_EQ(png.image.rgb, picture().rgb);
  EXPECT_EQ(png.image.width, 7);
  EXPECT_EQ(png.text, kText);
  EXPECT_EQ(read_file(path), encode_png(picture(), kText));
}

// Chunk names in order: no time, no palette, nothing that differs from run to run.
TEST(Png, ChunksOfTheFile) {
  std::string file = encode_png(picture(), kText), names;
  for (size_t at = 8; at + 12 <= file.size();) {
    names += file.substr(at + 4, 4) + " ";
    uint32_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<uint8_t>(file[at + i]);
    at += 12 + length;
  }
  EXPECT_EQ(names, "IHDR tEXt iTXt IDAT IEND ");
}

TEST(Png, LongTextAndLargePicture) {
  Image image{1000, 700, std::vector<uint8_t>(2100000)};
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<uint8_t>(i * i >> 9);
  std::map<std::string, std::string> text{{"recipe", std::string(3000000, 'r')}, {"empty", ""}};
  std::string file = encode_png(image, text);
  Png png = decode_png(as_bytes(file), "a.png");
  EXPECT_TRUE(png.image.rgb == image.rgb);
  EXPECT_TRUE(png.text == text);
}

TEST(Png, BadPictures) {
  expect_error(ErrorCode::invalid_argument, {"0x5"}, [] { encode_png({0, 5, {}}, {}); });
  expect_error(ErrorCode::invalid_argument, {"-1"}, [] { encode_png({5, -1, {}}, {}); });
  expect_error(ErrorCode::invalid_argument, {"20000x1"}, [] { encode_png({20000, 1, {}}, {}); });
  expect_error(ErrorCode::invalid_argument, {"2x2", "11 bytes", "3 a pixel"}, [] {
    encode_png({2, 2, std::vector<uint8_t>(11)}, {});
  });
}

TEST(Png, BadText) {
  for (const std::string& key :
       {std::string(), std::string(80, 'k'), std::string(" k"), std::string("k "),
        std::string("a  b"), std::string("k\n"), std::string("\xc3\xa9")}) {
    expect_error(ErrorCode::invalid_argument, {"PNG text key"}, [&] {
      encode_png(picture(), {{key, "v"}});
    });
  }
  expect_error(ErrorCode::invalid_argument, {"\"k\"", "UTF-8"}, [] {
    encode_png(picture(), {{"k", "\xff"}});
  });
  expect_error(ErrorCode::invalid_argument, {"NUL"}, [] {
    encode_png(picture(), {{"k", std::string("a\0b", 3)}});
  });
}

void read(const std::string& file) { decode_png(as_bytes(file), "a.png"); }

TEST(Png, BadFiles) {
  expect_error(ErrorCode::bad_file, {"a.png", "not those of a PNG"}, [] { read(""); });
  expect_error(ErrorCode::bad_file, {"a.png", "not those of a PNG"},
               [] { read(std::string(100, 'x')); });
  std::string claim = golden_bytes("rgb.png");
  claim[33] = '\x39';
  expect_error(ErrorCode::bad_file, {"a.png", "chunk at byte 33", "are left"},
               [&] { read(claim); });
  expect_error(ErrorCode::bad_file, {"alpha.png", "transparency"},
               [] { read_png(golden("alpha.png")); });
  expect_error(ErrorCode::io, {"none.png", "No such file"}, [] { read_png("none.png"); });
  std::string flipped = golden_bytes("rgb.png");
  flipped[flipped.size() - 30] ^= 1;
  expect_error(ErrorCode::bad_file, {"damaged PNG"}, [&] { read(flipped); });
}

// A header of 16384x16384 pixels with a right checksum, and next to nothing behind it.
TEST(Png, ClaimedSizeMustFitTheFile) {
  std::string file = golden_bytes("rgb.png").substr(0, 8);
  file += std::string("\0\0\0\x0dIHDR\0\0\x40\0\0\0\x40\0\x08\x02\0\0\0", 21);
  file += std::string("\x26\xaa\x87\xd3", 4) + golden_bytes("rgb.png").substr(33);
  expect_error(ErrorCode::bad_file, {"a.png", "16384x16384 pixels cannot be packed"},
               [&] { read(file); });
}

TEST(Png, DamagedFilesAreRefusedOrRead) {
  for (const char* name : {"rgb.png", "palette.png", "gray16.png", "bits.png"}) {
    std::string file = golden_bytes(name);
    test::expect_no_prefix_is_read(file, read);
    EXPECT_GT(test::read_with_each_byte_changed(file, read), static_cast<int>(file.size()));
  }
}

TEST(Png, SizeLimitLeavesNothing) {
  test::Folder folder;
  Image image{200, 200, std::vector<uint8_t>(120000)};
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<uint8_t>(i * i * i >> 7);
  rlimit before = {};
  getrlimit(RLIMIT_FSIZE, &before);
  auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = {1000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  expect_error(ErrorCode::io, {"out.png", "File too large"},
               [&] { write_png(folder / "out.png", image); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(folder.entries(), 0u);
}

}  // namespace
}  // namespace octavo
