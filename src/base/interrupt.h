#pragma once
namespace octavo {

// Installs SIGINT and SIGTERM handlers that only set a flag (a second signal ends the process at
// once, after removing temporary files). Long loops call check_interrupt().
void install_interrupt_handler();
bool interrupted();
// Throws Error{cancelled} once a signal has come.
void check_interrupt();

}  // namespace octavo
