#include <sys/resource.h>
#include <unistd.h>
#include <cmath>
#include <csignal>

#include "base/interrupt.h"
#include "io/golden.h"
#include "io/safetensors.h"

namespace octavo {
namespace {

using test::expect_error;
using test::Folder;

// The tensors of every_type() in make_io_goldens.py.
std::map<std::string, Tensor> every_type() {
  std::vector<float> ramp, powers;
  for (int i = 0; i < 15; ++i) ramp.push_back(static_cast<float>(i));
  for (int i = -7; i < 8; ++i) powers.push_back(std::ldexp(1.f, i));
  std::map<std::string, Tensor> tensors;
  for (DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::e4m3, DType::e5m2,
                      DType::i64, DType::i32, DType::i8, DType::u8}) {
    tensors[std::string(name(dtype))] = Tensor::from(ramp, {3, 5}).to(dtype);
  }
  tensors["e8m0"] = Tensor::from(powers, {15}).to(DType::e8m0);
  tensors["bool"] = Tensor::from({1, 0, 1}, {3}).to(DType::boolean);
  tensors["scalar"] = Tensor::scalar(2.5f);
  tensors["empty"] = Tensor::empty(DType::f32, {0, 7});
  tensors["name with \"quotes\" and ü"] = Tensor::from({1, 1}, {2});
  return tensors;
}

TEST(SafetensorsWriter, SameBytesAsPython) {
  std::filesystem::path path = test::written("every_type.safetensors");
  save_safetensors(path, every_type(), {{"made by", "torch"}});
  EXPECT_TRUE(read_file(path) == test::golden_bytes("every_type.safetensors"));
}

TEST(SafetensorsWriter, DeclaredOrderInPieces) {
  Folder folder;
  std::vector<TensorDecl> decls{{"z", DType::u8, {5}},
                                {"none", DType::f32, {0}},
                                {"a", DType::f32, {2}},
                                {"last", DType::f32, {3, 0}}};
  SafetensorsWriter writer(folder / "out.safetensors", decls, {{"k2", "\n\"\u00e9"}, {"k1", ""}});
  float values[] = {1, 2};
  writer.write("z", "abc", 3);
  writer.write("z", "de", 2);
  writer.write("none", nullptr, 0);
  writer.write("a", values, 4);
  writer.write("a", values + 1, 4);
  writer.write("last", Tensor::empty(DType::f32, {3, 0}));
  writer.finish();
  auto file = SafetensorsFile::open(folder / "out.safetensors");
  EXPECT_EQ(file->metadata().at("k2"), "\n\"é");
  EXPECT_EQ(file->metadata().size(), 2u);
  EXPECT_EQ(file->entry("z").begin % 8, 0u);
  EXPECT_LT(file->entry("z").begin, file->entry("a").begin);
  EXPECT_EQ(file->tensor("a").to_floats(), (std::vector<float>{1, 2}));
  EXPECT_EQ(std::string(file->tensor("z").as<char>(), 5), "abcde");
}

TEST(SafetensorsWriter, NothingAtAll) {
  Folder folder;
  save_safetensors(folder / "out.safetensors", {});
  EXPECT_TRUE(SafetensorsFile::open(folder / "out.safetensors")->entries().empty());
}

TEST(SafetensorsWriter, BadDeclarations) {
  Folder folder;
  auto write = [&](std::vector<TensorDecl> decls, std::map<std::string, std::string> metadata) {
    SafetensorsWriter(folder / "out.safetensors", std::move(decls), metadata);
  };
  expect_error(ErrorCode::invalid_argument, {"\"a\"", "twice"}, [&] {
    write({{"a", DType::f32, {1}}, {"a", DType::f32, {1}}}, {});
  });
  expect_error(ErrorCode::invalid_argument, {"__metadata__", "reserved"}, [&] {
    write({{"__metadata__", DType::f32, {1}}}, {});
  });
  expect_error(ErrorCode::invalid_argument, {"\\xff", "not UTF-8"}, [&] {
    write({{"\xff", DType::f32, {1}}}, {});
  });
  expect_error(ErrorCode::invalid_argument, {"\"k\"", "not UTF-8"}, [&] {
    write({}, {{"k", "\xff"}});
  });
  expect_error(ErrorCode::invalid_argument, {"\"w\"", "packed i4", "u8"}, [&] {
    write({{"w", DType::i4, {8}}}, {});
  });
  expect_error(ErrorCode::invalid_argument, {"negative"}, [&] {
    write({{"w", DType::f32, {-1}}}, {});
  });
  expect_error(ErrorCode::invalid_argument, {"\"t\"", "no data"}, [&] {
    save_safetensors(folder / "out.safetensors", {{"t", Tensor::typed(DType::f32, {1})}});
  });
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(SafetensorsWriter, WrongUseLeavesNothing) {
  Folder folder;
  std::vector<TensorDecl> decls{{"a", DType::u8, {2}}, {"b", DType::u8, {2}}};
  {
    SafetensorsWriter writer(folder / "out.safetensors", decls, {});
    expect_error(ErrorCode::internal, {"\"b\" is written", "turn of \"a\""},
                 [&] { writer.write("b", "xx", 2); });
    expect_error(ErrorCode::internal, {"\"a\"", "1 bytes beyond its 2"},
                 [&] { writer.write("a", "xxx", 3); });
    writer.write("a", "xx", 2);
    expect_error(ErrorCode::internal, {"\"b\" and 0 more were not written"},
                 [&] { writer.finish(); });
  }
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(SafetensorsWriter, SizeLimitLeavesNothing) {
  Folder folder;
  rlimit before = {};
  getrlimit(RLIMIT_FSIZE, &before);
  auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = {100000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  expect_error(ErrorCode::io, {(folder / "out.safetensors").string(), "File too large"}, [&] {
    save_safetensors(folder / "out.safetensors", {{"a", Tensor::zeros(DType::f32, {100000})}});
  });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(SafetensorsWriterDeathTest, CtrlCLeavesNothing) {
  Folder folder;
  auto work = [&] {
    install_interrupt_handler();
    SafetensorsWriter writer(folder / "out.safetensors", {{"a", DType::u8, {4}}}, {});
    writer.write("a", "xx", 2);
    if (folder.entries() != 1) _exit(1);
    std::raise(SIGINT);
    writer.write("a", "x", 1);
    std::raise(SIGINT);
    _exit(2);
  };
  EXPECT_EXIT(work(), testing::ExitedWithCode(128 + SIGINT), "");
  EXPECT_EQ(folder.entries(), 0u);
}

}  // namespace
}  // namespace octavo
