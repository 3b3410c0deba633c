#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "base/check.h"
#include "base/env.h"
#include "base/folder.h"
#include "base/log.h"
#include "base/progress.h"

namespace octavo {
namespace {

using test::expect_error;

TEST(Check, MessageAndCode) {
  int rows = 3;
  expect_error(ErrorCode::invalid_argument, {"rows is 3"},
               [&] { OCTAVO_CHECK(rows == 4, "rows is {}", rows); });
  expect_error(ErrorCode::bad_file, {"x"}, [] { OCTAVO_CHECK_FILE(false, "x"); });
  expect_error(ErrorCode::internal, {"report_test.cc", "rows > 5"},
               [&] { OCTAVO_ASSERT(rows > 5); });
  OCTAVO_CHECK(rows == 3, "never formatted {}", rows);
}

TEST(Env, OnlyListedNames) {
  setenv("OCTAVO_KERNELS", "ref", 1);
  EXPECT_EQ(env("OCTAVO_KERNELS"), "ref");
  setenv("OCTAVO_KERNELS", "", 1);
  EXPECT_EQ(env("OCTAVO_KERNELS"), std::nullopt);
  unsetenv("OCTAVO_KERNELS");
  EXPECT_EQ(env("OCTAVO_KERNELS"), std::nullopt);
  expect_error(ErrorCode::internal, {"listed"}, [] { env("OCTAVO_NO_SUCH_VARIABLE"); });
  for (const EnvVar& var : env_table()) EXPECT_EQ(std::string(var.name).rfind("OCTAVO_", 0), 0u);
}

TEST(Log, LevelsAndText) {
  set_log_level(LogLevel::info);
  testing::internal::CaptureStderr();
  std::string text = "value";
  log_warning("a {} {}", text, 1);
  log_info("b {}", std::string("x"));
  log_debug("c");
  set_log_level(LogLevel::quiet);
  log_warning("d");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "octavo: warning: a value 1\noctavo: info: b x\n");
  set_log_level(LogLevel::warning);
}

TEST(LogDeathTest, BadEnvironmentValue) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto work = [] {
    setenv("OCTAVO_LOG", "loud", 1);
    try {
      log_level();
    } catch (const Error& error) {
      fprintf(stderr, "%s\n", error.what());
      _exit(3);
    }
    _exit(0);
  };
  EXPECT_EXIT(work(), testing::ExitedWithCode(3), "OCTAVO_LOG is \"loud\"; expected quiet");
}

TEST(Progress, Text) {
  EXPECT_EQ(progress_text("encode", "images", 12, 64, 4, false),
            "encode: 12/64 images (18 %), 3 images/s, 0:17 left");
  EXPECT_EQ(progress_text("encode", "images", 64, 64, 3725, true),
            "encode: 64/64 images (100 %), 0.0172 images/s, took 1:02:05");
  EXPECT_EQ(progress_text("scan", "files", 0, 0, 0, false), "scan: 0 files");
  EXPECT_EQ(progress_text("scan", "files", 5, -1, 2, false), "scan: 5 files, 2.5 files/s");
}

TEST(Progress, PlainLines) {
  testing::internal::CaptureStderr();
  {
    Progress progress("work", 3, "steps");
    for (int i = 0; i < 3; ++i) progress.step();
    progress.finish();
    progress.finish();
  }
  std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.rfind("work: 3/3 steps (100 %)", 0), 0u) << text;
  EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
  testing::internal::CaptureStderr();
  set_progress_enabled(false);
  Progress("work", 3, "steps").finish();
  set_progress_enabled(true);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

// What `work` writes on a terminal of 60 columns.
std::string on_terminal(const std::function<void()>& work) {
  int master = -1, slave = -1;
  winsize size = {24, 60, 0, 0};
  if (openpty(&master, &slave, nullptr, nullptr, &size) != 0) return "openpty failed";
  int saved = dup(STDERR_FILENO);
  dup2(slave, STDERR_FILENO);
  work();
  dup2(saved, STDERR_FILENO);
  close(saved), close(slave);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(master, buffer, sizeof(buffer))) > 0;) text.append(buffer, n);
  close(master);
  return text;
}

TEST(Progress, TerminalBar) {
  std::string text = on_terminal([] {
    Progress progress("a rather long label of the work", 4, "steps");
    std::this_thread::sleep_for(std::chrono::milliseconds(110));
    progress.step();
    log_warning("careful");
    progress.step(3);
    progress.finish();
  });
  EXPECT_NE(text.find("[######..................] a rather"), std::string::npos) << text;
  EXPECT_NE(text.find("\r\x1b[Koctavo: warning: careful"), std::string::npos) << text;
  EXPECT_NE(text.find("[########################] a rather"), std::string::npos) << text;
  for (size_t at = 0, end; (end = text.find('\r', at + 1)) != std::string::npos; at = end) {
    EXPECT_LE(end - at, 60u + 4) << text;
  }
}

TEST(Progress, AnErrorStartsOnItsOwnLine) {
  std::string text = on_terminal([] {
    Progress progress("work", 4, "steps");
    std::this_thread::sleep_for(std::chrono::milliseconds(110));
    progress.step();
  });
  EXPECT_EQ(text.substr(text.size() - 2), "\r\n") << text;
}

}  // namespace
}  // namespace octavo
