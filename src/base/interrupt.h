#pragma once
namespace octavo {

// Installs SIGINT, SIGTERM and SIGHUP handlers that only set a flag (a second signal ends the
// process at once, after removing temporary files), and ignores SIGXFSZ, so that a file size limit
// is an error like a full disk. Long loops call check_interrupt().
void install_interrupt_handler();
bool interrupted();
// Throws Error{cancelled} once a signal has come.
void check_interrupt();
// Forgets the signal: for a host that goes on after a cancelled call.
void clear_interrupt();

}  // namespace octavo
