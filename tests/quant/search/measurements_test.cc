// The state of a search: nothing is measured twice, and never for another search.
#include "quant/search/measurements.h"

#include "base/atomic_file.h"
#include "gmock/gmock.h"
#include "support.h"

namespace octavo {
namespace {

using testing::HasSubstr;

const Measurements::Identity kOne{{"model", "abc"}, {"candidates", "int8dq, keep"}};

std::string message(const std::function<void()>& call, ErrorCode code) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing thrown";
  return {};
}

TEST(Measurements, AreKeptAndGoneOnFrom) {
  const test::TempFolder folder;
  const std::string path = folder.file("s.json");
  const std::vector<double> value{1.0 / 3, 1e-17};
  {
    Measurements m(path, kOne);
    EXPECT_EQ(m.get("a", [&] { return value; }), value);
    EXPECT_THROW(
        m.get("b", [&]() -> std::vector<double> { throw Error(ErrorCode::cancelled, ""); }), Error);
  }
  Measurements m(path, kOne);
  EXPECT_EQ(m.resumed(), 1u);
  EXPECT_FALSE(m.has("b"));
  EXPECT_EQ(m.get("a",
                  []() -> std::vector<double> {
                    ADD_FAILURE();
                    return {};
                  }),
            value);
}

TEST(Measurements, OfAnotherSearchAreRefused) {
  const test::TempFolder folder;
  const std::string path = folder.file("s.json");
  Measurements(path, kOne).get("a", [] { return std::vector<double>{1}; });
  auto other = kOne;
  other["candidates"] = "int4wo";
  const std::string said = message([&] { Measurements(path, other); }, ErrorCode::invalid_argument);
  EXPECT_THAT(said, HasSubstr(path));
  EXPECT_THAT(said, HasSubstr("candidates"));
  EXPECT_THAT(said, HasSubstr("int8dq, keep"));
  EXPECT_THAT(said, HasSubstr("int4wo"));
}

TEST(Measurements, BrokenFilesAreRefused) {
  const test::TempFolder folder;
  const std::string path = folder.file("s.json");
  for (const char* text :
       {"", "[]", "{}", "{\"octavo_search\": 9, \"identity\": {}, \"measurements\": {}}",
        "{\"octavo_search\": 1, \"identity\": 3, \"measurements\": {}}",
        "{\"octavo_search\": 1, \"identity\": {\"model\": \"abc\", \"candidates\": "
        "\"int8dq, keep\"}, \"measurements\": {\"a\": \"b\"}}",
        "{\"octavo_search\": 1, \"identity\": {\"model\": \"abc\", \"candidates\": "
        "\"int8dq, keep\"}, \"measurements\": {\"a\": [nu"}) {
    SCOPED_TRACE(text);
    write_file(path, text);
    EXPECT_THAT(message([&] { Measurements(path, kOne); }, ErrorCode::bad_file), HasSubstr(path));
  }
}

TEST(Measurements, NotFiniteIsAnError) {
  Measurements m("", kOne);
  message([&] { m.get("a", [] { return std::vector<double>{NAN}; }); }, ErrorCode::not_finite);
  EXPECT_FALSE(m.has("a"));
}

}  // namespace
}  // namespace octavo
