// octavo compare A B: error measures of every tensor two files share.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/atomic_file.h"
#include "base/check.h"
#include "common.h"
#include "io/npz.h"
#include "judge/measure.h"
#include "verb.h"

namespace octavo::cli {
namespace {

struct Options {
  std::string reference, test, json;
  double tolerance = -1;
};

void print_row(const std::string& name, const ErrorMeasures& m, bool ok) {
  fmt::print("{:44s} {:10.3g} {:10.3g} {:8.2f} {:8.4f} {:8.4f} {:10.3g}{}\n", name, m.rel_l2,
             m.max_abs, m.snr_db, m.exact, m.rounded_to_zero, m.outlier_weighted,
             ok ? "" : "  TOO LARGE");
}

nlohmann::ordered_json to_json(const ErrorMeasures& m) {
  return {{"rel_l2", m.rel_l2},
          {"max_abs", m.max_abs},
          {"worst_index", m.worst_index},
          {"snr_db", m.snr_db},
          {"exact", m.exact},
          {"rounded_to_zero", m.rounded_to_zero},
          {"outlier_weighted", m.outlier_weighted},
          {"non_finite", m.non_finite}};
}

void compare(const Options& o) {
  if (!o.json.empty()) check_output(o.json);
  const auto a = load_tensors(o.reference), b = load_tensors(o.test);
  std::set<std::string> names;
  for (const auto& [name, tensor] : a) names.insert(name);
  for (const auto& [name, tensor] : b) names.insert(name);
  nlohmann::ordered_json json;
  bool failed = false;
  fmt::print("{:44s} {:>10s} {:>10s} {:>8s} {:>8s} {:>8s} {:>10s}\n", "tensor", "rel. L2",
             "max abs", "SNR dB", "equal", "zeroed", "outliers");
  for (const std::string& name : names) {
    if (!a.contains(name) || !b.contains(name)) {
      fmt::print("{:44s} only in {}\n", name, a.contains(name) ? o.reference : o.test);
      failed = true;
      continue;
    }
    const ErrorMeasures m = measure(a.at(name), b.at(name));
    const bool ok = m.non_finite == 0 && (o.tolerance < 0 || m.rel_l2 <= o.tolerance);
    failed |= !ok;
    print_row(name, m, ok);
    json[name] = to_json(m);
  }
  if (!o.json.empty()) write_file(o.json, json.dump(1) + "\n");
  if (failed) throw VerbFailed{};
}

}  // namespace

void add_compare(CLI::App& app) {
  auto* verb =
      app.add_subcommand("compare",
                         "Error measures of every tensor of two files (safetensors, npz, npy).\n"
                         "Exit code 1 when a tensor is missing, not finite, or over --tolerance.");
  auto o = std::make_shared<Options>();
  verb->add_option("REFERENCE", o->reference, "What is right")->required();
  verb->add_option("TEST", o->test, "What is compared with it")->required();
  verb->add_option("--tolerance", o->tolerance, "Largest relative L2 error |a - b| / |a| allowed");
  verb->add_option("--json", o->json, "Write the measures to this file");
  verb->callback([o] { compare(*o); });
}

}  // namespace octavo::cli
