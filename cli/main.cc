// octavo: post-training quantization and native inference for diffusion models.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <new>

#include "base/env.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/threads.h"
#include "kernels/device.h"
#include "octavo/error.h"
#include "octavo/version.h"
#include "verb.h"

namespace octavo::cli {
namespace {

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return 2;
    case ErrorCode::bad_file:
      return 3;
    case ErrorCode::io:
      return 4;
    case ErrorCode::unsupported:
      return 5;
    case ErrorCode::not_finite:
      return 6;
    case ErrorCode::out_of_memory:
      return 7;
    case ErrorCode::device:
      return 8;
    case ErrorCode::cancelled:
      return 130;
    case ErrorCode::internal:
      return 70;
  }
  return 70;
}

std::string footer() {
  std::string text = "Environment:\n";
  for (const EnvVar& v : env_table())
    text += fmt::format("  {:24s} {} (default: {})\n", v.name, v.meaning, v.fallback);
  text += "Devices:\n" + list_devices();
  text +=
      "Exit codes: 0 done · 1 judged or compared and found wanting · 2 wrong arguments · 3 bad "
      "file\n"
      "  4 system or disk · 5 not supported · 6 not finite · 7 out of device memory\n"
      "  8 device failed · 70 our bug · 130 interrupted\n";
  return text;
}

int report(const Error& error) {
  fmt::print(stderr, "octavo: error: {}\n", error.what());
  return exit_code(error.code());
}

int run(int argc, char** argv) {
  CLI::App app{
      "octavo takes a diffusion model as you have it, quantizes it, proves with its own sampler "
      "what "
      "that cost, and runs it natively.\n\n"
      "  octavo inspect   zoo/emoji\n"
      "  octavo quantize  zoo/emoji --scheme int8dq -o emoji-int8dq.safetensors\n"
      "  octavo generate  emoji-int8dq.safetensors \"rocket\" --seed 1 -o rocket.png\n"
      "  octavo judge     zoo/emoji emoji-int8dq.safetensors --html report.html\n",
      "octavo"};
  app.footer([] { return footer(); });
  app.set_version_flag("--version", OCTAVO_VERSION);
  app.require_subcommand(1);
  int threads = 0;
  app.add_option("--threads", threads, "CPU threads (results do not depend on it)")
      ->check(CLI::Range(1, 1024));
  bool quiet = false, verbose = false;
  app.add_flag("-q,--quiet", quiet, "No progress, no warnings");
  app.add_flag("-v,--verbose", verbose, "Say what happens on the way");
  bool batch_invariant = false, allow_fallback = false;
  app.add_flag("--batch-invariant", batch_invariant,
               "With --device: a sample's bits do not depend on how many others share its batch\n"
               "(costs what `bench --batch-invariant` says; schemes with one dynamic scale for a\n"
               "whole batch are refused)");
  app.add_flag("--allow-fallback", allow_fallback,
               "With --device: FP8 codes may be multiplied as bf16 where the device has no FP8\n"
               "units, which is exact and slower; refused otherwise");
  app.fallthrough();
  app.parse_complete_callback([&] {
    if (threads > 0) set_thread_count(threads);
    if (batch_invariant) setenv("OCTAVO_BATCH_INVARIANT", "1", 1);
    if (allow_fallback) setenv("OCTAVO_ALLOW_FALLBACK", "1", 1);
    if (quiet) set_log_level(LogLevel::quiet);
    if (verbose) set_log_level(LogLevel::info);
    set_progress_enabled(!quiet);
  });
  for (const auto add : {add_inspect, add_run, add_compare, add_calibrate, add_quantize,
                         add_generate, add_judge, add_bench, add_search, add_explain, add_stats})
    add(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  return 0;
}

}  // namespace
}  // namespace octavo::cli

int main(int argc, char** argv) {
  using namespace octavo;
  install_interrupt_handler();
  try {
    return cli::run(argc, argv);
  } catch (const cli::VerbFailed&) {
    return 1;
  } catch (const Error& error) {
    return cli::report(error);
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "octavo: error: out of memory\n");
    return 4;
  } catch (const std::exception& error) {
    fmt::print(stderr, "octavo: internal error: {}\n", error.what());
    return 70;
  }
}
