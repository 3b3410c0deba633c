#include "io/checkpoint.h"

#include "io/golden.h"

namespace octavo {
namespace {

using test::expect_error;
using test::Folder;

void save(const std::filesystem::path& path, const std::vector<std::string>& names) {
  std::map<std::string, Tensor> tensors;
  float value = 0;
  for (const std::string& name : names) tensors[name] = Tensor::from({value++, 1, 2}, {3});
  save_safetensors(path, tensors);
}

TEST(Checkpoint, ShardedAsDiffusersWritesIt) {
  auto checkpoint = Checkpoint::open(test::golden("sharded"));
  EXPECT_EQ(checkpoint->names(),
            (std::vector<std::string>{"block.0.weight", "block.1.weight", "block.2.weight",
                                      "block.3.weight", "block.4.weight"}));
  EXPECT_EQ(checkpoint->files().size(), 3u);
  EXPECT_EQ(checkpoint->total_bytes(), 640u);
  for (int i = 0; i < 5; ++i) {
    std::string name = "block." + std::to_string(i) + ".weight";
    EXPECT_TRUE(checkpoint->contains(name));
    EXPECT_EQ(checkpoint->type(name).dtype, DType::f32);
    EXPECT_EQ(checkpoint->type(name).shape, (Shape{4, 8}));
    EXPECT_EQ(checkpoint->tensor(name).to_floats(), std::vector<float>(32, static_cast<float>(i)));
    checkpoint->release(name);
  }
  EXPECT_NE(checkpoint->where("block.4.weight").find("00003-of-00003"), std::string::npos);
  expect_error(ErrorCode::bad_file, {"index.json", "\"block.5.weight\" is missing", "5 others"},
               [&] { checkpoint->tensor("block.5.weight"); });
  auto index = test::golden("sharded") / "diffusion_pytorch_model.safetensors.index.json";
  EXPECT_EQ(Checkpoint::open(index)->names().size(), 5u);
}

TEST(Checkpoint, WhichFileOfAFolder) {
  Folder folder;
  expect_error(ErrorCode::bad_file, {folder.path().string(), "no *.safetensors"},
               [&] { Checkpoint::open(folder.path()); });
  write_file(folder / "pytorch_model.bin", "x");
  expect_error(ErrorCode::bad_file, {"convert its .bin"}, [&] { Checkpoint::open(folder.path()); });
  save(folder / "any.safetensors", {"any"});
  EXPECT_EQ(Checkpoint::open(folder.path())->names(), std::vector<std::string>{"any"});
  EXPECT_EQ(Checkpoint::open(folder / "any.safetensors")->where("any"),
            (folder / "any.safetensors").string());
  save(folder / "other.safetensors", {"other"});
  expect_error(ErrorCode::bad_file, {"several", "any.safetensors other.safetensors"},
               [&] { Checkpoint::open(folder.path()); });
  write_file(folder / "x.safetensors.index.json", R"({"weight_map":{"any":"any.safetensors"}})");
  EXPECT_EQ(Checkpoint::open(folder.path())->names(), std::vector<std::string>{"any"});
  write_file(folder / "model.safetensors.index.json",
             R"({"weight_map":{"other":"other.safetensors"}})");
  EXPECT_EQ(Checkpoint::open(folder.path())->names(), std::vector<std::string>{"other"});
  save(folder / "model.safetensors", {"m"});
  EXPECT_EQ(Checkpoint::open(folder.path())->names(), std::vector<std::string>{"m"});
  save(folder / "diffusion_pytorch_model.safetensors", {"d"});
  EXPECT_EQ(Checkpoint::open(folder.path())->names(), std::vector<std::string>{"d"});
}

TEST(Checkpoint, BadPaths) {
  Folder folder;
  expect_error(ErrorCode::io, {"none", "No such file"}, [&] { Checkpoint::open(folder / "none"); });
  write_file(folder / "model.ckpt", "x");
  expect_error(ErrorCode::bad_file, {"model.ckpt", "expected a folder"},
               [&] { Checkpoint::open(folder / "model.ckpt"); });
  write_file(folder / "model.safetensors", "x");
  expect_error(ErrorCode::bad_file, {"model.safetensors", "1 bytes"},
               [&] { Checkpoint::open(folder.path()); });
}

class Index : public testing::Test {
 protected:
  Index() {
    save(folder / "s1.safetensors", {"a", "b"});
    save(folder / "s2.safetensors", {"c"});
  }

  void expect_bad(const std::string& weight_map, std::initializer_list<std::string> parts,
                  ErrorCode code = ErrorCode::bad_file) {
    write_file(folder / "model.safetensors.index.json", weight_map);
    expect_error(code, {"model.safetensors.index.json"}, [&] { Checkpoint::open(folder.path()); });
    expect_error(code, parts, [&] { Checkpoint::open(folder.path()); });
  }

  Folder folder;
};

TEST_F(Index, MustNameWhatTheShardsHold) {
  expect_bad(R"({"weight_map":{"a":"s1.safetensors","b":"s1.safetensors","x":"s1.safetensors"}})",
             {"\"x\" should be in s1.safetensors but is in no shard"});
  expect_bad(R"({"weight_map":{"a":"s1.safetensors","b":"s2.safetensors","c":"s2.safetensors"}})",
             {"\"b\" should be in s2.safetensors but is in", "s1.safetensors"});
  expect_bad(R"({"weight_map":{"a":"s1.safetensors"}})",
             {"\"b\" of shard s1.safetensors is not in the index"});
  expect_bad(R"({"weight_map":{"a":"s1.safetensors","b":"s1.safetensors","d":"s3.safetensors"}})",
             {"shard s3.safetensors is missing"}, ErrorCode::io);
  save(folder / "s2.safetensors", {"b", "c"});
  expect_bad(R"({"weight_map":{"a":"s1.safetensors","b":"s1.safetensors","c":"s2.safetensors"}})",
             {"\"b\" is in s1.safetensors and in s2.safetensors"});
}

TEST_F(Index, ShardsStayInTheFolder) {
  for (const char* shard :
       {"../s1.safetensors", "/etc/passwd", "a/../../s1.safetensors", "..", "", "sub/"}) {
    expect_bad(std::string(R"({"weight_map":{"a":")") + shard + "\"}}",
               {"tensor \"a\" is in \"" + std::string(shard) + "\"", "a file in that folder"});
  }
  expect_bad(R"({"weight_map":{"a":1}})", {"tensor \"a\" is in 1"});
  std::filesystem::create_directory(folder / "sub");
  save(folder / "sub/s.safetensors", {"a"});
  write_file(folder / "model.safetensors.index.json",
             R"({"weight_map":{"a":"sub/s.safetensors"}})");
  EXPECT_TRUE(Checkpoint::open(folder.path())->contains("a"));
}

TEST_F(Index, MustBeAnIndex) {
  expect_bad("{", {"not valid JSON"});
  expect_bad("[]", {"weight_map"});
  expect_bad("{}", {"weight_map"});
  expect_bad(R"({"weight_map":[]})", {"weight_map"});
  expect_bad(R"({"weight_map":{}})", {"weight_map"});
  expect_bad(R"({"weight_map":{"a":"s1.safetensors","a":"s1.safetensors"}})",
             {"\"a\" stands twice"});
}

}  // namespace
}  // namespace octavo
