#include "io/safetensors.h"

#include <unistd.h>

#include <cstring>
#include <fstream>

#include "io/golden.h"

namespace octavo {
namespace {

using test::expect_error;
using test::Folder;

std::string container(const std::string& header, size_t data_bytes) {
  std::string file(8, '\0');
  uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  return file + header + std::string(data_bytes, 'd');
}

SafetensorsHeader parse(const std::string& file) {
  return parse_safetensors(test::as_bytes(file), "f.safetensors");
}

void expect_bad_file(const std::string& file, std::initializer_list<std::string> parts) {
  expect_error(ErrorCode::bad_file, {"f.safetensors"}, [&] { parse(file); });
  expect_error(ErrorCode::bad_file, parts, [&] { parse(file); });
}

void expect_bad(const std::string& header, size_t data_bytes,
                std::initializer_list<std::string> parts) {
  expect_bad_file(container(header, data_bytes), parts);
}

TEST(Safetensors, ReadsWhatPythonWrote) {
  auto file = SafetensorsFile::open(test::golden("every_type.safetensors"));
  EXPECT_EQ(file->metadata(), (std::map<std::string, std::string>{{"made by", "torch"}}));
  ASSERT_EQ(file->entries().size(), 15u);
  std::vector<float> ramp;
  for (int i = 0; i < 15; ++i) ramp.push_back(static_cast<float>(i));
  for (DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::e4m3, DType::i64,
                      DType::i32, DType::i8, DType::u8}) {
    Tensor tensor = file->tensor(std::string(name(dtype)));
    EXPECT_EQ(tensor.dtype(), dtype);
    EXPECT_EQ(tensor.shape(), (Shape{3, 5}));
    EXPECT_EQ(tensor.to_floats(), ramp) << name(dtype);
  }
  EXPECT_EQ(file->tensor("e5m2").to_floats()[14], 14.f);
  EXPECT_EQ(file->tensor("e8m0").to_floats()[8], 2.f);
  EXPECT_EQ(file->tensor("scalar").shape(), Shape{});
  EXPECT_EQ(file->tensor("scalar").to_floats(), std::vector<float>{2.5f});
  EXPECT_EQ(file->tensor("empty").shape(), (Shape{0, 7}));
  EXPECT_EQ(file->tensor("name with \"quotes\" and ü").to_floats(), (std::vector<float>{1, 1}));
  EXPECT_EQ(std::memcmp(file->tensor("bool").data(), "\1\0\1", 3), 0);
  expect_error(ErrorCode::bad_file, {"every_type.safetensors", "\"other\"", "15"},
               [&] { file->tensor("other"); });
}

TEST(Safetensors, SmallestFiles) {
  EXPECT_TRUE(parse(container("{}", 0)).entries.empty());
  EXPECT_TRUE(parse(container("{\"__metadata__\":{}}   ", 0)).entries.empty());
  SafetensorsHeader header =
      parse(container(R"({"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", 0));
  EXPECT_EQ(header.entries.at("").begin, header.entries.at("").end);
}

TEST(Safetensors, MisalignedDataIsCopied) {
  Folder folder;
  write_file(folder / "a.safetensors",
             container(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                       R"("b":{"dtype":"F32","shape":[2],"data_offsets":[3,11]}})",
                       3) +
                 std::string("\0\0\x80\x3f\0\0\0\x40", 8));
  Tensor b = SafetensorsFile::open(folder / "a.safetensors")->tensor("b");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b.data()) % 4, 0u);
  EXPECT_EQ(b.to_floats(), (std::vector<float>{1, 2}));
}

TEST(Safetensors, TensorsOutliveTheFileObject) {
  Tensor tensor = SafetensorsFile::open(test::golden("every_type.safetensors"))->tensor("f32");
  EXPECT_EQ(tensor.to_floats()[14], 14.f);
}

size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

TEST(Safetensors, ReleaseGivesMemoryBack) {
  Folder folder;
  size_t bytes = size_t{32} << 20;
  save_safetensors(folder / "big.safetensors",
                   {{"big", Tensor::zeros(DType::u8, {static_cast<int64_t>(bytes)})}});
  auto file = SafetensorsFile::open(folder / "big.safetensors");
  Tensor big = file->tensor("big");
  size_t before = resident_bytes();
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes; i += 512) sum += big.as<uint8_t>()[i];
  size_t during = resident_bytes();
  file->release("big");
  size_t after = resident_bytes();
  EXPECT_EQ(sum, 0u);
  EXPECT_GT(during, before + bytes / 2);
  EXPECT_LT(after, before + bytes / 4);
  EXPECT_EQ(big.as<uint8_t>()[bytes - 1], 0);
}

TEST(Safetensors, BadContainer) {
  expect_bad_file("", {"0 bytes", "8 bytes of header length"});
  expect_bad_file("1234567", {"7 bytes"});
  std::string huge = container("{}", 0);
  huge[7] = '\x80';
  expect_bad_file(huge, {"header of 9223372036854775810 bytes", "no safetensors file"});
  std::string over = container("{}", 0);
  over[0] = 3;
  expect_bad_file(over, {"header of 3 bytes but only 2 follow", "truncated"});
  std::string most = container("{}", 0);
  uint64_t limit = 100'000'001;
  std::memcpy(most.data(), &limit, 8);
  expect_bad_file(most, {"100000001", "at most 100000000"});
  expect_bad_file(container("", 0), {"begins with \"\""});
  expect_bad("[]", 0, {"begins with \"[\""});
  expect_bad(" {}", 0, {"begins with \" \""});
  expect_bad("{\"a\":", 0, {"not valid JSON", "1:6"});
  expect_bad("{\"\xff\":1}", 0, {"UTF-8"});
  expect_bad("{}x", 0, {"not valid JSON"});
  expect_bad("{}", 5, {"5 bytes follow the last tensor"});
  expect_error(ErrorCode::io, {"none.safetensors", "No such file"},
               [] { SafetensorsFile::open("none.safetensors"); });
}

TEST(Safetensors, DuplicateKeys) {
  std::string a = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  expect_bad("{" + a + "," + a + "}", 1, {"key \"a\" stands twice"});
  expect_bad(R"({"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 1,
             {"key \"dtype\" stands twice in /a"});
  expect_bad(R"({"__metadata__":{"k":"1","k":"2"}})", 0, {"key \"k\" stands twice"});
  expect_bad(R"({"__metadata__":{},"__metadata__":{}})", 0, {"__metadata__\" stands twice"});
}

TEST(Safetensors, BadMetadata) {
  expect_bad(R"({"__metadata__":[]})", 0, {"__metadata__ is []"});
  expect_bad(R"({"__metadata__":{"k":1}})", 0, {"\"k\" is 1", "expected a string"});
}

TEST(Safetensors, BadEntries) {
  auto entry = [](const std::string& fields) { return "{\"layer.0\":" + fields + "}"; };
  auto bad = [&](const std::string& fields, std::initializer_list<std::string> parts) {
    expect_bad(entry(fields), 8, {"tensor \"layer.0\""});
    expect_bad(entry(fields), 8, parts);
  };
  bad("1", {"expected an object"});
  bad(R"({"shape":[2],"data_offsets":[0,8]})", {"\"dtype\" is missing"});
  bad(R"({"dtype":"F32","data_offsets":[0,8]})", {"\"shape\" is missing"});
  bad(R"({"dtype":"F32","shape":[2]})", {"\"data_offsets\" is missing"});
  bad(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1})", {"unknown key \"x\""});
  bad(R"({"dtype":1,"shape":[2],"data_offsets":[0,8]})", {"dtype 1", "expected a string"});
  bad(R"({"dtype":"F99","shape":[2],"data_offsets":[0,8]})", {"\"F99\" is unknown", "F64 F32 F16"});
  bad(R"({"dtype":"I16","shape":[4],"data_offsets":[0,8]})", {"\"I16\" is not supported"});
  bad(R"({"dtype":"F4","shape":[16],"data_offsets":[0,8]})", {"\"F4\" is not supported"});
  bad(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})", {"shape is [-2]"});
  bad(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})", {"shape is [2.0]"});
  bad(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})", {"shape is 2"});
  bad(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})", {"2^63-1"});
  bad(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})",
      {"impossible shape", "[4294967296, 4294967296]"});
  bad(R"({"dtype":"F64","shape":[4294967296,1073741824],"data_offsets":[0,8]})",
      {"impossible shape"});
  bad(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})",
      {"8 bytes of data", "F32 of shape [3] has 12"});
  bad(R"({"dtype":"F32","shape":[],"data_offsets":[0,8]})", {"shape [] has 4"});
  bad(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})", {"[8,0]", "begin <= end"});
  bad(R"({"dtype":"F32","shape":[2],"data_offsets":[0]})", {"expected [begin, end]"});
  bad(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4,8]})", {"expected [begin, end]"});
  bad(R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})", {"data_offsets is [-8,0]"});
  bad(R"({"dtype":"F32","shape":[2],"data_offsets":[8,16]})", {"byte 16", "only 8", "truncated"});
  bad(R"({"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775807]})", {"only 8"});
}

std::string two(int begin_a, int end_a, int begin_b, int end_b) {
  auto entry = [](const char* name, int begin, int end) {
    return "\"" + std::string(name) + R"(":{"dtype":"U8","shape":[)" + std::to_string(end - begin) +
           "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
  };
  return "{" + entry("a", begin_a, end_a) + "," + entry("b", begin_b, end_b) + "}";
}

TEST(Safetensors, LayoutMustCoverTheDataOnce) {
  EXPECT_EQ(parse(container(two(4, 8, 0, 4), 8)).entries.size(), 2u);
  expect_bad(two(0, 5, 4, 8), 8, {"\"b\" begins at byte 4", "inside tensor \"a\"", "ends at 5"});
  expect_bad(two(0, 4, 0, 4), 4, {"\"b\" begins at byte 0", "inside tensor \"a\""});
  expect_bad(two(0, 3, 4, 8), 8, {"bytes 3 to 4", "before tensor \"b\"", "belong to no tensor"});
  expect_bad(two(1, 4, 4, 8), 8, {"bytes 0 to 1"});
  expect_bad(two(0, 4, 4, 8), 11, {"3 bytes follow the last tensor"});
}

TEST(Safetensors, LongNamesAreCutInMessages) {
  std::string header = "{\"" + std::string(100000, 'n') + "\":1}";
  std::optional<Error> error = test::error_of([&] { parse(container(header, 0)); });
  ASSERT_TRUE(error);
  EXPECT_LT(std::string(error->what()).size(), 400u);
}

TEST(Safetensors, DamagedFilesAreRefusedOrRead) {
  std::string file = test::golden_bytes("every_type.safetensors");
  test::expect_no_prefix_is_read(file, [](const std::string& bytes) { parse(bytes); });
  size_t header_bytes = file.size() - 510;
  int refused =
      test::read_with_each_byte_changed(file, [](const std::string& bytes) { parse(bytes); });
  EXPECT_GT(refused, static_cast<int>(header_bytes));
}

}  // namespace
}  // namespace octavo
