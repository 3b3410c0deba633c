// Ctrl-C in the middle: nothing half-written, and a calibration goes on where it stopped.
#include <fmt/ranges.h>
#include <signal.h>
#include <spawn.h>

#include <chrono>
#include <functional>
#include <thread>

#include "base/atomic_file.h"
#include "command.h"
#include "io/png.h"

namespace octavo {
namespace {

using test::emoji;

// Runs the command, sends SIGINT as soon as condition() holds, and gives the exit code: 130 is what
// an interrupted program exits with. Signals start at their defaults, as in a terminal.
int interrupt(std::vector<std::string> arguments, const std::function<bool()>& condition) {
  arguments.insert(arguments.begin(), {test::binary(), "-q"});
  std::vector<char*> argv;
  for (std::string& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGINT);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  EXPECT_EQ(posix_spawn(&pid, argv[0], nullptr, &attributes, argv.data(), environ), 0);
  for (int i = 0; i < 3000 && !condition(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  kill(pid, SIGINT);
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Pictures are written as they are made: those there are whole, the one in the making is not there.
TEST(Interrupt, GenerateLeavesWholePicturesOnly) {
  const test::TempFolder folder;
  const int code = interrupt({"generate", emoji(), "a", "b", "c", "d", "--count", "100", "--batch",
                              "1", "-o", folder.file("p.png")},
                             [&] { return std::filesystem::exists(folder.file("p-002.png")); });
  EXPECT_EQ(code, 130);
  const size_t count = test::files_in(folder.path());
  EXPECT_GE(count, 2u);
  EXPECT_LT(count, 400u);
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    EXPECT_EQ(read_png(entry.path()).image.width, 128);
}

TEST(Interrupt, GridLeavesNothing) {
  const test::TempFolder folder;
  int polls = 0;
  const int code = interrupt({"generate", emoji(), "a", "b", "c", "d", "--count", "100", "--batch",
                              "1", "--grid", "-o", folder.file("p.png")},
                             [&] { return ++polls > 50; });  // half a second
  EXPECT_EQ(code, 130);
  EXPECT_EQ(test::files_in(folder.path()), 0u);
}

TEST(Interrupt, CalibrationResumesToTheSameStatistics) {
  const test::TempFolder folder;
  write_file(folder.file("prompts.txt"), "rocket\npizza\ncat face\nviolin\ndog\nsnowman\n");
  const auto calibrate = [&](const std::string& out) {
    return std::vector<std::string>{"calibrate", emoji(), "--steps",   "3",
                                    "--batch",   "1",     "--prompts", folder.file("prompts.txt"),
                                    "-o",        out};
  };
  const std::string whole = folder.file("whole.safetensors"), cut = folder.file("cut.safetensors");
  ASSERT_EQ(test::octavo(fmt::format("{}", fmt::join(calibrate(whole), " "))).code, 0);
  const int code =
      interrupt(calibrate(cut), [&] { return std::filesystem::exists(cut + ".partial"); });
  if (code != 0) {  // 0: it was quicker than the signal
    EXPECT_EQ(code, 130);
    EXPECT_FALSE(std::filesystem::exists(cut));
    const auto again = test::octavo(fmt::format("{}", fmt::join(calibrate(cut), " ")));
    ASSERT_EQ(again.code, 0) << again.output;
  }
  EXPECT_TRUE(read_file(cut) == read_file(whole));
  EXPECT_FALSE(std::filesystem::exists(cut + ".partial"));
}

}  // namespace
}  // namespace octavo
