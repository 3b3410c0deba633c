#include "base/glob.h"

#include <gtest/gtest.h>

#include <string>

namespace octavo {
namespace {

struct Case {
  const char *pattern, *text;
  bool matches;
};

class GlobMatch : public testing::TestWithParam<Case> {};

TEST_P(GlobMatch, AsTheTableSays) {
  const Case& c = GetParam();
  EXPECT_EQ(glob_match(c.pattern, c.text), c.matches) << c.pattern << " on " << c.text;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, GlobMatch,
    testing::Values(Case{"", "", true}, Case{"", "a", false}, Case{"*", "", true},
                    Case{"?", "", false}, Case{"a", "a", true}, Case{"a", "ab", false},
                    Case{"ab", "a", false}, Case{"a?c", "abc", true}, Case{"a?c", "ac", false},
                    Case{"*.to_q", "blocks.0.attn.to_q", true},
                    Case{"*.to_q", "blocks.0.attn.to_q_norm", false},
                    Case{"transformer/*", "transformer/a/b.c", true},
                    Case{"*a*b", "xaxbxaxb", true}, Case{"*a*b", "xbxa", false},
                    Case{"a*b*c", "a-bc-b-cc", true}, Case{"**", "anything", true},
                    Case{"blocks.1", "blocks.11", false}, Case{"blocks.[0]", "blocks.0", false},
                    Case{"*?*", "a", true}, Case{"*??", "a", false}));

TEST(GlobMatchTime, ManyStarsStayFast) {
  std::string pattern;
  for (int i = 0; i < 1000; ++i) pattern += "*a";
  EXPECT_FALSE(glob_match(pattern + "b", std::string(20000, 'a')));
}

}  // namespace
}  // namespace octavo
