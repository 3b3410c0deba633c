#include "octavo/quant_spec.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "support.h"

namespace octavo {
namespace {

using test::error_of;

constexpr const char* kFormatNames =
    "e4m3 e5m2 e3m2 e2m2 e2m1 i8 i7 i6 i5 i4 i3 i2 u8 u7 u6 u5 u4 u3 u2 u1";

// Every combination that the algebra has, over a few extents.
std::vector<QuantSpec> whole_algebra() {
  std::vector<QuantSpec> specs;
  std::istringstream formats(kFormatNames);
  for (std::string format; formats >> format;) {
    for (const int64_t rows : {0, 1, 128}) {
      for (const int64_t cols : {0, 16, 3072}) {
        for (const auto timing : {QuantSpec::Timing::static_, QuantSpec::Timing::dynamic}) {
          for (const char* scale : {"f32", "f16", "bf16", "e8m0", "e4m3", "mx", "e4m3*f32"}) {
            for (const bool zp : {false, true}) {
              if (zp ? format[0] == 'e' : format[0] == 'u') continue;
              const bool two_levels = std::string_view(scale) == "e4m3*f32";
              if (zp && (two_levels || std::string_view(scale) == "mx")) continue;
              if (two_levels && cols == 0) continue;
              specs.push_back({format, rows, cols, timing, scale, zp});
            }
          }
        }
      }
    }
  }
  return specs;
}

TEST(QuantSpecs, EveryOneSurvivesItsTextForm) {
  std::set<std::string> texts;
  for (const QuantSpec& spec : whole_algebra()) {
    EXPECT_EQ(QuantSpec::parse(spec.text()), spec) << spec.text();
    EXPECT_EQ(QuantSpec::parse(spec.text()).text(), spec.text());
    EXPECT_TRUE(texts.insert(spec.text()).second) << "two specs print as " << spec.text();
  }
  EXPECT_EQ(texts.size(), 3u * 2 * (3 * (12 * 6 + 15 * 5) + 2 * 12))
      << "without and with zero points; two levels with groups";
}

TEST(QuantSpecs, TextFormIsWhatTheDesignShows) {
  const QuantSpec spec = QuantSpec::parse("i4/1x128/static/f16/zp");
  EXPECT_EQ(spec, (QuantSpec{"i4", 1, 128, QuantSpec::Timing::static_, "f16", true}));
  EXPECT_EQ(QuantSpec{}.text(), "i8/*x*/static/f32");
  EXPECT_EQ((QuantSpec{"e4m3", 1, 0, QuantSpec::Timing::dynamic, "f32", false}).text(),
            "e4m3/1x*/dynamic/f32");
}

struct BadText {
  std::string text, found, allowed;
};
class BadSpecs : public ::testing::TestWithParam<BadText> {};

TEST_P(BadSpecs, AreRefusedWithThePartAndWhatIsAllowed) {
  const Error error = error_of([&] { QuantSpec::parse(GetParam().text); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  const std::string what = error.what();
  EXPECT_NE(what.find("'" + GetParam().text + "'"), std::string::npos) << what;
  EXPECT_NE(what.find(GetParam().found), std::string::npos) << what;
  EXPECT_NE(what.find(GetParam().allowed), std::string::npos) << what;
}

INSTANTIATE_TEST_SUITE_P(
    Texts, BadSpecs,
    ::testing::Values(BadText{"", "1 part;", "format/ROWSxCOLS"},
                      BadText{"e4m3", "1 part;", "format/ROWSxCOLS"},
                      BadText{"i8/1x*", "2 parts", "format/ROWSxCOLS"},
                      BadText{"i8/1x*/static/f32/zp/zp", "6 parts", "format/ROWSxCOLS"},
                      BadText{"i8/1x*/static/f32/", "fifth part ''", "zp"},
                      BadText{"i8/1x*/static/f32/ZP", "fifth part 'ZP'", "zp"},
                      BadText{"/1x*/static/f32", "format ''", kFormatNames},
                      BadText{"i9/1x*/static/f32", "format 'i9'", kFormatNames},
                      BadText{"f16/1x*/static/f32", "format 'f16'", kFormatNames},
                      BadText{"e8m0/1x*/static/f32", "format 'e8m0'", kFormatNames},
                      BadText{"I8/1x*/static/f32", "format 'I8'", "i8"},
                      BadText{" i8/1x*/static/f32", "format ' i8'", "i8"},
                      BadText{"i8/1/static/f32", "tile '1'", "ROWSxCOLS"},
                      BadText{"i8/1x2x3/static/f32", "tile '1x2x3'", "ROWSxCOLS"},
                      BadText{"i8/1x/static/f32", "extent ''", "*"},
                      BadText{"i8/x1/static/f32", "extent ''", "*"},
                      BadText{"i8/0x*/static/f32", "extent '0'", "*"},
                      BadText{"i8/01x*/static/f32", "extent '01'", "*"},
                      BadText{"i8/1x-4/static/f32", "extent '-4'", "positive"},
                      BadText{"i8/1x+4/static/f32", "extent '+4'", "positive"},
                      BadText{"i8/1x4k/static/f32", "extent '4k'", "positive"},
                      BadText{"i8/1x**/static/f32", "extent '**'", "positive"},
                      BadText{"i8/1x9223372036854775808/static/f32", "9223372036854775808",
                              "positive"},
                      BadText{"i8/1x*/Static/f32", "timing 'Static'", "static dynamic"},
                      BadText{"i8/1x*//f32", "timing ''", "static dynamic"},
                      BadText{"i8/1x*/static/f64", "scale 'f64'", "f32 f16 bf16 e8m0 e4m3"},
                      BadText{"i8/1x*/static/f32 ", "scale 'f32 '", "f32 f16 bf16 e8m0 e4m3"},
                      BadText{"e4m3/1x*/static/f32/zp", "not e4m3", "i2 to i8, u1 to u8"},
                      BadText{"e2m1/1x*/static/e4m3*f32", "scale for groups", "1x16"},
                      BadText{"e2m1/1x16/static/f32*e4m3", "scale 'f32*e4m3'", "mx e4m3*f32"},
                      BadText{"i4/1x32/static/mx/zp", "plain scale, not mx", "zp"},
                      BadText{"i4/1x32/static/e4m3*f32/zp", "plain scale, not e4m3*f32", "zp"},
                      BadText{"u4/1x64/static/f16", "u4 has no codes below 0", "/zp"},
                      BadText{"i1/1x64/static/f16", "format 'i1'", kFormatNames},
                      BadText{"u9/1x64/static/f16/zp", "format 'u9'", kFormatNames}));

TEST(QuantSpecs, MadeByHandAreValidatedToo) {
  EXPECT_EQ(error_of([] { QuantSpec{.format = "x"}.validate(); }).code(),
            ErrorCode::invalid_argument);
  EXPECT_EQ(error_of([] { QuantSpec{.tile_rows = -1}.scale_shape(4, 4); }).code(),
            ErrorCode::invalid_argument);
}

TEST(QuantSpecs, ScaleShape) {
  const auto shape = [](const char* spec, int64_t rows, int64_t cols) {
    return QuantSpec::parse(spec).scale_shape(rows, cols);
  };
  EXPECT_EQ(shape("i8/*x*/static/f32", 7, 9), (Shape{1, 1}));
  EXPECT_EQ(shape("i8/1x*/static/f32", 7, 9), (Shape{7, 1}));
  EXPECT_EQ(shape("i8/*x1/static/f32", 7, 9), (Shape{1, 9}));
  EXPECT_EQ(shape("i4/1x64/static/f32", 7, 128), (Shape{7, 2}));
  EXPECT_EQ(shape("e4m3/128x128/static/f32", 300, 256), (Shape{3, 2}))
      << "the last tile is partial";
  EXPECT_EQ(shape("e4m3/128x128/static/f32", 5, 128), (Shape{1, 1}));
  EXPECT_EQ(shape("i8/1x*/static/f32", 0, 9), (Shape{0, 1}));
  EXPECT_EQ(shape("i8/*x*/static/f32", 0, 9), (Shape{1, 1}));
  EXPECT_EQ(shape("i4/1x64/static/f32", 7, 0), (Shape{7, 0}));
  const Error error = error_of([&] { shape("i4/1x64/static/f32", 7, 100); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_STREQ(error.what(),
               "spec 'i4/1x64/static/f32': groups of 64 columns do not divide 100 columns; use a "
               "group that does, or * for the whole row");
  EXPECT_EQ(error_of([&] { shape("i4/1x64/static/f32", 7, 32); }).code(),
            ErrorCode::invalid_argument);
}

TEST(Schemes, TableIsWhatTheNamesMean) {
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"fp8", "w=e4m3/1x*/static/f32 a=e4m3/*x*/static/f32"},
      {"int8", "w=i8/1x*/static/f32 a=i8/*x*/static/f32"},
      {"fp8dq", "w=e4m3/*x*/static/f32 a=e4m3/*x*/dynamic/f32"},
      {"fp8dqrow", "w=e4m3/1x*/static/f32 a=e4m3/1x*/dynamic/f32"},
      {"int8dq", "w=i8/1x*/static/f32 a=i8/1x*/dynamic/f32"},
      {"int8wo", "w=i8/1x*/static/f32"},
      {"fp8wo", "w=e4m3/1x*/static/f32"},
      {"int6wo", "w=i6/1x64/static/f16"},
      {"int5wo", "w=i5/1x64/static/f16"},
      {"int4wo", "w=i4/1x64/static/f16"},
      {"int4wo-zp", "w=i4/1x128/static/f16/zp"},
      {"int4dq", "w=i4/1x32/static/f32 a=i8/1x*/dynamic/f32"},
      {"fp6_e3m2", "w=e3m2/1x*/static/f32"},
      {"fp5_e2m2", "w=e2m2/1x*/static/f32"},
      {"fp4_e2m1", "w=e2m1/1x*/static/f32"},
      {"fp4_e2m1-g32", "w=e2m1/1x32/static/f16"},
      {"uint7wo", "w=u7/1x64/static/f16/zp"},
      {"uint6wo", "w=u6/1x64/static/f16/zp"},
      {"uint5wo", "w=u5/1x64/static/f16/zp"},
      {"uint4wo", "w=u4/1x64/static/f16/zp"},
      {"uint3wo", "w=u3/1x64/static/f16/zp"},
      {"uint2wo", "w=u2/1x64/static/f16/zp"},
      {"uint1wo", "w=u1/1x64/static/f16/zp"},
      {"w4a8", "w=i4/1x64/static/f16 a=i8/1x*/dynamic/f32"},
      {"w4a4", "w=i4/1x64/static/f16 a=i4/1x64/dynamic/f32"},
      {"mxfp8", "w=e4m3/1x32/static/mx a=e4m3/1x32/dynamic/mx"},
      {"mxfp8-up", "w=e4m3/1x32/static/e8m0 a=e4m3/1x32/dynamic/e8m0"},
      {"mxfp6", "w=e3m2/1x32/static/mx a=e3m2/1x32/dynamic/mx"},
      {"mxfp4", "w=e2m1/1x32/static/mx a=e2m1/1x32/dynamic/mx"},
      {"nvfp4", "w=e2m1/1x16/static/e4m3*f32 a=e2m1/1x16/dynamic/e4m3*f32"},
      {"nvfp4wo", "w=e2m1/1x16/static/e4m3*f32"},
  };
  ASSERT_EQ(scheme_table().size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const NamedScheme& row = scheme_table()[i];
    EXPECT_EQ(row.name, expected[i].first);
    EXPECT_EQ(row.scheme.text(), expected[i].second);
    EXPECT_FALSE(row.meaning.empty());
    EXPECT_EQ(find_scheme(row.name), row.scheme);
    EXPECT_EQ(find_scheme(row.scheme.text()), row.scheme);
  }
}

TEST(Schemes, BadOnesAreRefused) {
  const auto message = [](const char* text) {
    const Error error = error_of([&] { find_scheme(text); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << text;
    return std::string(error.what());
  };
  EXPECT_NE(message("int9wo").find("int8wo fp8wo int6wo int5wo int4wo"), std::string::npos);
  EXPECT_NE(message("").find("expected w=SPEC"), std::string::npos);
  EXPECT_NE(message("i8/1x*/static/f32").find("expected w=SPEC"), std::string::npos);
  EXPECT_NE(message("w=i8/1x*/static").find("3 parts"), std::string::npos);
  EXPECT_NE(message("w=i8/1x*/dynamic/f32").find("only activations"), std::string::npos);
  EXPECT_NE(message("w=i8/1x*/static/f32 b=i8/1x*/static/f32").find("not a=SPEC"),
            std::string::npos);
  EXPECT_NE(message("w=i8/1x*/static/f32 ").find("not a=SPEC"), std::string::npos);
  EXPECT_NE(message("w=i8/1x*/static/f32 a=i8/1x*/now/f32").find("timing 'now'"),
            std::string::npos);
}

TEST(AttentionSchemes, NamesAndTexts) {
  const std::string whole = "e4m3/*x*/static/f32", row = "e4m3/1x*/dynamic/f32";
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"attn-fp8", fmt::format("q={0} k={0} v={0} p=e4m3", whole)},
      {"attn-fp8dq", fmt::format("q={0} k={0} v={0} p=e4m3", row)},
  };
  ASSERT_EQ(attention_scheme_table().size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const NamedAttentionScheme& named = attention_scheme_table()[i];
    EXPECT_EQ(named.name, expected[i].first);
    EXPECT_EQ(named.scheme.text(), expected[i].second);
    EXPECT_FALSE(named.meaning.empty());
    EXPECT_TRUE(names_attention(named.name));
    EXPECT_TRUE(names_attention(named.scheme.text()));
    EXPECT_EQ(find_attention_scheme(named.name), named.scheme);
    EXPECT_EQ(find_attention_scheme(named.scheme.text()), named.scheme);
  }
  const std::string mixed = fmt::format("q={} k=i8/1x*/dynamic/f32 v={}", whole, whole);
  EXPECT_EQ(find_attention_scheme(mixed).text(), mixed) << "weights stay as they are";
  for (const NamedScheme& layer : scheme_table()) EXPECT_FALSE(names_attention(layer.name));
}

TEST(AttentionSchemes, BadOnesAreRefused) {
  const auto message = [](const std::string& text) {
    const Error error = error_of([&] { find_attention_scheme(text); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << text;
    return std::string(error.what());
  };
  const std::string s = "e4m3/*x*/static/f32", qkv = fmt::format("q={0} k={0} v={0}", s);
  EXPECT_NE(message("attn-fp9").find("attn-fp8 attn-fp8dq"), std::string::npos);
  EXPECT_NE(message("q=" + s).find("'' is not k=SPEC"), std::string::npos);
  EXPECT_NE(message("q=" + s + " v=" + s).find("is not k=SPEC"), std::string::npos);
  EXPECT_NE(message(qkv + " w=e4m3").find("not p=FORMAT"), std::string::npos);
  EXPECT_NE(message(qkv + " p=i4").find("not one of: e4m3 e5m2 i8"), std::string::npos);
  EXPECT_NE(message("q=e4m3/*x64/static/f32 k=" + s + " v=" + s).find("has tiles"),
            std::string::npos);
  EXPECT_NE(message("q=i8/1x*/dynamic/f32/zp k=" + s + " v=" + s).find("zero points"),
            std::string::npos);
}

}  // namespace
}  // namespace octavo
