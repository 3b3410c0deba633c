#include "base/interrupt.h"

#include <unistd.h>
#include <csignal>

#include "base/atomic_file.h"
#include "base/check.h"

namespace octavo {
namespace {

volatile std::sig_atomic_t pending_signal = 0;

void on_signal(int signal) {
  if (pending_signal != 0) {
    remove_open_temporaries();
    _exit(128 + signal);
  }
  pending_signal = signal;
}

void handle(int signal) {
  struct sigaction action = {};
  sigaction(signal, nullptr, &action);
  if (action.sa_handler == SIG_IGN) return;  // nohup, or a background job
  action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

void install_interrupt_handler() {
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) handle(signal);
  std::signal(SIGXFSZ, SIG_IGN);
}

bool interrupted() { return pending_signal != 0; }

void check_interrupt() {
  OCTAVO_CHECK_CODE(cancelled, !interrupted(), "interrupted by signal {}",
                    static_cast<int>(pending_signal));
}

void clear_interrupt() { pending_signal = 0; }

}  // namespace octavo
