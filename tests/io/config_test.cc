#include <nlohmann/json.hpp>

#include "base/text.h"
#include "io/golden.h"
#include "io/json.h"

namespace octavo {
namespace {

using test::expect_error;

void expect_bad_json(const std::string& text, std::initializer_list<std::string> parts) {
  expect_error(ErrorCode::bad_file, parts, [&] { parse_json(text, "a.json"); });
}

TEST(Json, ReadsEveryKindOfValue) {
  Json json = parse_json(R"( {"a":[1,-2,2.5,true,null,"x\u00e9",{"b":[]}],"c":{}} )", "a.json");
  EXPECT_EQ(json.dump(), R"({"a":[1,-2,2.5,true,null,"xé",{"b":[]}],"c":{}})");
  EXPECT_EQ(parse_json("18446744073709551615", "a").get<uint64_t>(), UINT64_MAX);
  EXPECT_EQ(parse_json("\"s\"", "a"), "s");
  EXPECT_EQ(parse_json(R"({"a":{"x":1},"b":{"x":1}})", "a")["b"]["x"], 1);
}

TEST(Json, SyntaxErrorsHaveLineAndColumn) {
  expect_bad_json("", {"a.json:1:1", "not valid JSON", "end of input"});
  expect_bad_json("{\n  \"a\": 1,\n  \"b\": tru\n}", {"a.json:3:11", "invalid literal"});
  expect_bad_json("[1,]", {"a.json:1:4"});
  expect_bad_json("{\"a\":1} x", {"a.json:1:9", "expected end of input"});
  expect_bad_json("[NaN]", {"a.json:1:2"});
  expect_bad_json("[1e999]", {"number overflow"});
  expect_bad_json("\"\xff\"", {"UTF-8", "\\xff"});
  expect_bad_json("\"\xed\xa0\x80\"", {"UTF-8"});
  expect_bad_json("// c\n1", {"a.json:1:1"});
  std::string long_token = "[\"" + std::string(100000, 'x');
  std::optional<Error> error = test::error_of([&] { parse_json(long_token, "a.json"); });
  ASSERT_TRUE(error);
  EXPECT_LT(std::string(error->what()).size(), 400u);
}

TEST(Json, DuplicateKeysAndDepth) {
  expect_bad_json(R"({"a":1,"a":2})", {"a.json", "key \"a\" stands twice"});
  expect_bad_json(R"({"m":[0,{"k":1,"\u006b":2}]})", {"key \"k\" stands twice in /m/1"});
  std::string deep(64, '['), closed(64, ']');
  EXPECT_TRUE(parse_json(deep + closed, "a").is_array());
  expect_bad_json("[" + deep + closed + "]", {"nested deeper than 64"});
  expect_bad_json(std::string(1000000, '['), {"nested deeper than 64"});
}

TEST(Text, Utf8) {
  for (const char* good :
       {"", "abc", "é", "\u2603", "\U0001F600", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"}) {
    EXPECT_TRUE(valid_utf8(good)) << good;
  }
  for (const char* bad :
       {"\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x98", "a\xffz", "\xc3(", "\xe2\x98("}) {
    EXPECT_FALSE(valid_utf8(bad)) << printable(bad);
  }
  EXPECT_EQ(printable("a\n\x01\xff é"), "a\\x0a\\x01\\xff é");
  EXPECT_EQ(printable(std::string(500, 'a'), 10), "aaaaaaaaaa...");
}

const char* const kConfig = R"({
  "layers": 4, "zero": 0, "minus": -1, "huge": 1000000000, "beyond": 18446744073709551615,
  "float": 4.0, "text": "4", "eps": 1e-6, "flag": true, "nothing": null,
  "ints": [1, 2, 3], "mixed": [1, "2"], "empty": [], "names": ["a", "b"], "inner": {"size": 8}})";

class ConfigTest : public testing::Test {
 protected:
  Config config = Config::parse(kConfig, "model/config.json");

  void expect_bad(std::initializer_list<std::string> parts, const std::function<void()>& call) {
    expect_error(ErrorCode::bad_file, {"model/config.json"}, call);
    expect_error(ErrorCode::bad_file, parts, call);
  }
};

TEST_F(ConfigTest, Values) {
  EXPECT_EQ(config.get_int("layers", 1, 100), 4);
  EXPECT_EQ(config.get_int("minus", -1, 100), -1);
  EXPECT_EQ(config.get_int_or("none", 7, 1, 10), 7);
  EXPECT_EQ(config.get_int_or("nothing", 7, 1, 10), 7);
  EXPECT_EQ(config.get_double("eps"), 1e-6);
  EXPECT_EQ(config.get_double("layers"), 4.0);
  EXPECT_EQ(config.get_double_or("none", 0.5), 0.5);
  EXPECT_TRUE(config.get_bool("flag"));
  EXPECT_TRUE(config.get_bool_or("nothing", true));
  EXPECT_EQ(config.get_string("text"), "4");
  EXPECT_EQ(config.get_string_or("none", "d"), "d");
  EXPECT_EQ(config.get_choice("text", {"3", "4"}), "4");
  EXPECT_EQ(config.get_ints("ints", 1, 3), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(config.get_doubles("ints"), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(config.get_strings("names"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config.get_object("inner").get_int("size", 1, 10), 8);
  EXPECT_FALSE(config.has("nothing"));
  EXPECT_TRUE(config.is_array("ints"));
  EXPECT_FALSE(config.is_array("none"));
  EXPECT_EQ(config.keys().size(), 15u);
}

TEST_F(ConfigTest, ImpossibleValues) {
  expect_bad({"key \"zero\" is 0; expected a whole number from 1 to 100"},
             [&] { config.get_int("zero", 1, 100); });
  expect_bad({"\"minus\" is -1"}, [&] { config.get_int("minus", 0, 100); });
  expect_bad({"\"huge\" is 1000000000"}, [&] { config.get_int_or("huge", 1, 1, 1000); });
  expect_bad({"\"beyond\" is 18446744073709551615"},
             [&] { config.get_int("beyond", INT64_MIN, INT64_MAX); });
  expect_bad({"\"float\" is 4.0"}, [&] { config.get_int("float", 1, 100); });
  expect_bad({"\"text\" is \"4\""}, [&] { config.get_int("text", 1, 100); });
  expect_bad({"\"none\" is missing; expected a whole number"},
             [&] { config.get_int("none", 1, 100); });
  expect_bad({"\"nothing\" is missing"}, [&] { config.get_int("nothing", 1, 100); });
  expect_bad({"\"layers\" is 4; expected true or false"}, [&] { config.get_bool("layers"); });
  expect_bad({"\"flag\" is true; expected a number"}, [&] { config.get_double("flag"); });
  expect_bad({"\"eps\" is 1e-06; expected a number from 1 to 2"},
             [&] { config.get_double("eps", 1, 2); });
  expect_bad({"\"layers\" is 4; expected a string"}, [&] { config.get_string("layers"); });
  expect_bad({"\"text\" is \"4\"; expected one of \"a\", \"b\""}, [&] {
    config.get_choice("text", {"a", "b"});
  });
  expect_bad({"\"ints\" is [1,2,3]; expected an array of 1 to 4096 elements, each a whole number "
              "from 2 to 5"},
             [&] { config.get_ints("ints", 2, 5); });
  expect_bad({"\"mixed\""}, [&] { config.get_ints("mixed", 1, 5); });
  expect_bad({"\"mixed\""}, [&] { config.get_doubles("mixed"); });
  expect_bad({"\"mixed\""}, [&] { config.get_strings("mixed"); });
  expect_bad({"\"empty\" is []"}, [&] { config.get_ints("empty", 1, 5); });
  expect_bad({"\"inner\" is an object of 1 keys"}, [&] { config.get_int("inner", 1, 5); });
  expect_bad({"config.json: inner: key \"size\" is 8"},
             [&] { config.get_object("inner").get_int("size", 1, 5); });
  expect_bad({"\"layers\" is 4; expected an object"}, [&] { config.get_object("layers"); });
}

TEST(Config, Files) {
  test::Folder folder;
  write_file(folder / "config.json", "[1]");
  expect_error(ErrorCode::bad_file, {"config.json", "[1]", "expected a JSON object"},
               [&] { Config::load(folder / "config.json"); });
  expect_error(ErrorCode::io, {"none.json", "No such file"},
               [&] { Config::load(folder / "none.json"); });
  write_file(folder / "big.json", std::string(kMaxConfigBytes + 1, ' '));
  expect_error(ErrorCode::bad_file, {"big.json", "more than"},
               [&] { Config::load(folder / "big.json"); });
}

}  // namespace
}  // namespace octavo
