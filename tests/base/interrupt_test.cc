#include "base/interrupt.h"

#include <unistd.h>
#include <csignal>

#include "base/atomic_file.h"
#include "base/folder.h"
#include "base/progress.h"

namespace octavo {
namespace {

using test::expect_error;
using test::Folder;

TEST(InterruptDeathTest, FirstSignalIsAnErrorAndLeavesNothing) {
  Folder folder;
  auto work = [&] {
    install_interrupt_handler();
    if (interrupted()) _exit(10);
    check_interrupt();
    expect_error(ErrorCode::cancelled, {"interrupted by signal 15"}, [&] {
      AtomicFile file(folder / "out");
      Progress progress("work", 10, "steps");
      for (int i = 0; i < 10; ++i) {
        file.write("x");
        if (i == 5) std::raise(SIGTERM);
        progress.step();
      }
      file.commit();
    });
    bool ok = interrupted() && folder.entries() == 0;
    clear_interrupt();
    _exit(ok && !interrupted() && !testing::Test::HasFailure() ? 0 : 1);
  };
  EXPECT_EXIT(work(), testing::ExitedWithCode(0), "");
}

TEST(InterruptDeathTest, SecondSignalEndsAtOnceAndLeavesNothing) {
  Folder folder;
  auto work = [&] {
    install_interrupt_handler();
    AtomicFile a(folder / "a"), b(folder / "b");
    { AtomicFile closed(folder / "c"); }
    if (folder.entries() != 2) _exit(10);
    std::raise(SIGINT);
    std::raise(SIGINT);
    _exit(11);
  };
  EXPECT_EXIT(work(), testing::ExitedWithCode(128 + SIGINT), "");
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(InterruptDeathTest, IgnoredSignalsStayIgnored) {
  auto work = [] {
    std::signal(SIGHUP, SIG_IGN);
    install_interrupt_handler();
    std::raise(SIGHUP);
    _exit(interrupted() ? 1 : 0);
  };
  EXPECT_EXIT(work(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace octavo
