#pragma once
// One verb a file. add() puts its options on a subcommand and gives it a callback that runs it; the
// callback returns normally on success, throws octavo::Error, or throws VerbFailed for a verdict.
#include <CLI/CLI.hpp>

namespace octavo::cli {

// A verb that ran and found against its subject (gate missed, tolerance exceeded): exit code 1.
struct VerbFailed {};

void add_inspect(CLI::App& app);
void add_run(CLI::App& app);
void add_compare(CLI::App& app);
void add_calibrate(CLI::App& app);
void add_quantize(CLI::App& app);
void add_generate(CLI::App& app);
void add_judge(CLI::App& app);
void add_bench(CLI::App& app);
void add_stats(CLI::App& app);
void add_search(CLI::App& app);
void add_explain(CLI::App& app);

}  // namespace octavo::cli
