// Ctrl-C in the middle: nothing half-written, and a calibration goes on where it stopped.
#include <gmock/gmock.h>

#include "base/atomic_file.h"
#include "command.h"

namespace octavo {
namespace {

using test::emoji;

// SIGINT as soon as `condition` (a shell test) holds; 130 is what an interrupted program exits
// with.
test::CommandResult interrupt(const std::string& arguments, const std::string& condition) {
  return test::shell(
      fmt::format("{} -q {} & pid=$!; for i in $(seq 600); do {} && break; sleep 0.05; done; "
                  "kill -INT $pid; wait $pid",
                  test::binary(), arguments, condition));
}

TEST(Interrupt, GenerateLeavesNothing) {
  const test::TempFolder folder;
  const auto r =
      interrupt("generate " + emoji() + " a b c d --count 50 --batch 1 -o " + folder.file("p.png"),
                "sleep 0.5");
  EXPECT_EQ(r.code, 130) << r.output;
  EXPECT_EQ(test::files_in(folder.path()), 0u);
}

TEST(Interrupt, CalibrationResumesToTheSameStatistics) {
  const test::TempFolder folder;
  write_file(folder.file("prompts.txt"), "rocket\npizza\ncat face\nviolin\ndog\nsnowman\n");
  const std::string run = "calibrate " + emoji() + " --steps 3 --batch 1 --prompts " +
                          folder.file("prompts.txt") + " -o ";
  const std::string whole = folder.file("whole.safetensors"), cut = folder.file("cut.safetensors");
  ASSERT_EQ(test::octavo(run + whole).code, 0);
  const auto r = interrupt(run + cut, "test -e " + cut + ".partial");
  if (r.code != 0) {  // 0: it was quicker than the signal
    EXPECT_EQ(r.code, 130) << r.output;
    EXPECT_FALSE(std::filesystem::exists(cut));
    const auto again = test::octavo(run + cut);
    ASSERT_EQ(again.code, 0) << again.output;
  }
  EXPECT_TRUE(read_file(cut) == read_file(whole));
  EXPECT_FALSE(std::filesystem::exists(cut + ".partial"));
}

}  // namespace
}  // namespace octavo
