#include "io/npz.h"

#include <cstring>

#include "io/golden.h"
#include "io/safetensors.h"

namespace octavo {
namespace {

using test::as_bytes;
using test::expect_error;
using test::golden;
using test::golden_bytes;

void expect_arrays(const std::map<std::string, Tensor>& arrays) {
  auto expected = SafetensorsFile::open(golden("arrays.safetensors"));
  EXPECT_EQ(arrays.size(), expected->entries().size());
  for (const auto& [name, entry] : expected->entries()) {
    ASSERT_EQ(arrays.count(name), 1u) << name;
    const Tensor& array = arrays.at(name);
    EXPECT_EQ(array.dtype(), entry.dtype) << name;
    EXPECT_EQ(array.shape(), entry.shape) << name;
    EXPECT_TRUE(same_bytes(array, expected->tensor(name))) << name;
  }
}

TEST(Npz, ReadsWhatNumpyWrote) {
  expect_arrays(load_tensors(golden("stored.npz")));
  expect_arrays(load_tensors(golden("deflated.npz")));
  expect_arrays(load_tensors(golden("arrays.safetensors")));
}

TEST(Npy, EveryVersion) {
  Tensor expected = SafetensorsFile::open(golden("arrays.safetensors"))->tensor("fortran3");
  for (const char* name : {"version1", "version2", "version3"}) {
    std::map<std::string, Tensor> read = load_tensors(golden(std::string(name) + ".npy"));
    ASSERT_EQ(read.count(name), 1u);
    EXPECT_TRUE(same_bytes(read[name], expected)) << name;
  }
}

TEST(Npy, TypesThatAreNotRead) {
  for (auto [file, part] : {std::pair("big_endian.npy", "\">f4\""),
                            {"complex.npy", "\"<c8\""},
                            {"objects.npy", "\"|O\""},
                            {"records.npy", "records"}}) {
    expect_error(ErrorCode::bad_file, {file, part},
                 [&, name = file] { load_tensors(golden(name)); });
  }
}

std::string npy(const std::string& header, size_t data_bytes) {
  std::string file("\x93NUMPY\1\0", 8);
  file += static_cast<char>(header.size() & 255);
  file += static_cast<char>(header.size() >> 8);
  return file + header + std::string(data_bytes, 'd');
}

void expect_bad_npy(const std::string& file, std::initializer_list<std::string> parts) {
  expect_error(ErrorCode::bad_file, parts, [&] { parse_npy(as_bytes(file), "a.npy"); });
}

TEST(Npy, HeaderForms) {
  EXPECT_EQ(parse_npy(as_bytes(npy("{'descr':'<i4','fortran_order':False,'shape':(2,)}", 8)), "a")
                .shape(),
            Shape{2});
  EXPECT_EQ(
      parse_npy(as_bytes(npy("{\"shape\": (), 'descr': '=i1', 'fortran_order': True, } \n", 1)),
                "a")
          .dtype(),
      DType::i8);
}

TEST(Npy, BadHeaders) {
  std::string good = "{'descr':'<f4','fortran_order':False,'shape':(2,)}";
  expect_bad_npy("", {"a.npy", "no .npy header"});
  expect_bad_npy("\x93NUMPX\1\0\0\0", {"no .npy header"});
  std::string version = npy(good, 8);
  version[6] = 4;
  expect_bad_npy(version, {"version 4", "1 to 3"});
  version[6] = 0;
  expect_bad_npy(version, {"version 0"});
  version[6] = 2;
  expect_bad_npy(version, {".npy header of"});
  expect_bad_npy(npy(good, 8).substr(0, 40), {"header of", "the file has 30"});
  expect_bad_npy(npy(good, 7), {"7 bytes of data", "f32 of shape [2] has 8"});
  expect_bad_npy(npy(good, 9), {"9 bytes of data"});
  expect_bad_npy(npy("", 8), {"expected \"{\""});
  expect_bad_npy(npy("{", 8), {"quoted string"});
  expect_bad_npy(npy("{}", 8), {"one object of descr"});
  expect_bad_npy(npy(good + "x", 8), {"one object of descr"});
  expect_bad_npy(npy("{'descr':'<f4','descr':'<f4'}", 8), {"once"});
  expect_bad_npy(npy("{'color':'<f4'}", 8), {"once"});
  expect_bad_npy(npy("{'descr':'<f4", 8), {"a closed string"});
  expect_bad_npy(npy("{'descr':'<i2','fortran_order':False,'shape':(2,)}", 8),
                 {"\"<i2\"", ".astype()"});
  expect_bad_npy(npy("{'descr':'<f4','fortran_order':0,'shape':(2,)}", 8), {"\"False\""});
  for (const char* shape : {"(-2,)", "(2", "(2,3", "(x)", "(2;3)", "(99999999999999999999,)"}) {
    expect_bad_npy(
        npy(std::string("{'descr':'<f4','fortran_order':False,'shape':") + shape + "}", 8),
        {"a.npy", "expected"});
  }
  expect_bad_npy(npy("{'descr':'<f4','fortran_order':False,'shape':(4294967296,4294967296)}", 8),
                 {"impossible shape"});
  std::string many = "(";
  for (int i = 0; i < 33; ++i) many += "1,";
  expect_bad_npy(npy("{'descr':'<f4','fortran_order':False,'shape':" + many + ")}", 4),
                 {"at most 32"});
}

void read_npz(const std::string& file) { parse_npz(as_bytes(file), "a.npz"); }

void expect_bad_npz(const std::string& file, std::initializer_list<std::string> parts) {
  expect_error(ErrorCode::bad_file, {"a.npz"}, [&] { read_npz(file); });
  expect_error(ErrorCode::bad_file, parts, [&] { read_npz(file); });
}

// Changes a field in the central and the local header of the first member, so that they agree.
// Offsets: APPNOTE 4.3.7 and 4.3.12.
std::string with_field(std::string file, size_t central, size_t local, uint32_t value,
                       size_t bytes) {
  size_t at = file.find("PK\1\2");
  std::memcpy(file.data() + at + central, &value, bytes);
  std::memcpy(file.data() + local, &value, bytes);
  return file;
}

// What a zip of one stored member is made of; numpy's own has sizes in 64-bit extra fields.
std::string zip_of(const std::string& name, const std::string& content, uint32_t crc,
                   uint16_t method = 0, uint32_t claimed = UINT32_MAX) {
  if (claimed == UINT32_MAX) claimed = static_cast<uint32_t>(content.size());
  std::string common("\x14\0\0\0", 4);
  auto put = [&](uint32_t value, size_t bytes) {
    common.append(reinterpret_cast<const char*>(&value), bytes);
  };
  put(method, 2), put(0, 2), put(33, 2);  // method, time, date 1980-01-01
  put(crc, 4), put(static_cast<uint32_t>(content.size()), 4), put(claimed, 4);
  put(static_cast<uint32_t>(name.size()), 2), put(0, 2);
  std::string local = "PK\3\4" + common + name + content;
  std::string central = std::string("PK\1\2\x14\0", 6) + common + std::string(14, '\0') + name;
  common.clear();
  put(1, 2), put(1, 2), put(static_cast<uint32_t>(central.size()), 4);
  put(static_cast<uint32_t>(local.size()), 4), put(0, 2);
  return local + central + std::string("PK\5\6\0\0\0\0", 8) + common;
}

TEST(Npz, BadArchives) {
  expect_bad_npz("", {"it is empty"});
  expect_bad_npz("PK", {"not a"});
  expect_bad_npz(std::string(100, 'x'), {"not a"});
  std::string content = npy("{'descr':'|u1','fortran_order':False,'shape':(4,)}", 4);
  constexpr uint32_t kCrc = 0x2780516c;  // zlib.crc32 of content
  EXPECT_NO_THROW(read_npz(zip_of("a.npy", content, kCrc)));
  expect_bad_npz(zip_of("a.npy", content, kCrc + 1), {"\"a.npy\"", "damaged", "CRC"});
  expect_bad_npz(zip_of("a.txt", content, kCrc), {"\"a.txt\"", "only *.npy"});
  expect_bad_npz(zip_of(".npy", content, kCrc), {"only *.npy"});
  expect_bad_npz(zip_of("a.npy", content, kCrc, 14), {"compression method 14", "0 (stored)"});
  expect_bad_npz(zip_of("a.npy", content, kCrc, 8), {"damaged"});
  expect_bad_npz(zip_of("a.npy", content, kCrc, 8, 70000), {"claims 70000 bytes", "packed bytes"});
  expect_bad_npz(zip_of("a.npy", content, kCrc, 0, 1000), {"a.npz"});
  std::string twice = golden_bytes("stored.npz");
  for (size_t at; (at = twice.find("f8.npy")) != std::string::npos;) twice.replace(at, 6, "f4.npy");
  expect_bad_npz(twice, {"already exists"});
  std::string encrypted = with_field(golden_bytes("stored.npz"), 8, 6, 1, 2);
  expect_bad_npz(encrypted, {"encrypted"});
}

TEST(Npz, DamagedFilesAreRefusedOrRead) {
  for (const char* name : {"stored.npz", "deflated.npz"}) {
    std::string file = golden_bytes(name);
    test::expect_no_prefix_is_read(file, read_npz);
  }
  std::string deflated = golden_bytes("deflated.npz");
  EXPECT_GT(test::read_with_each_byte_changed(deflated, read_npz),
            static_cast<int>(deflated.size()));
  std::string one = golden_bytes("version2.npy");
  auto read = [](const std::string& bytes) { parse_npy(as_bytes(bytes), "a.npy"); };
  test::expect_no_prefix_is_read(one, read);
  EXPECT_GT(test::read_with_each_byte_changed(one, read), 100);
}

TEST(LoadTensors, Errors) {
  expect_error(ErrorCode::invalid_argument, {"a.pt", "expected .safetensors, .npz or .npy"},
               [] { load_tensors("a.pt"); });
  expect_error(ErrorCode::io, {"none.npz", "No such file"}, [] { load_tensors("none.npz"); });
}

}  // namespace
}  // namespace octavo
