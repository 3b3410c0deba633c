// octavo run FOLDER: one component on given tensors.
#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "common.h"
#include "io/npz.h"
#include "io/safetensors.h"
#include "models/models.h"
#include "verb.h"

namespace octavo::cli {
namespace {

struct Options {
  std::string folder, method, inputs, outputs, compute = "f32", device = "cpu";
  std::vector<std::string> taps;
};

// Module paths of the library are value names here; what a tap saw is saved as "tap.<name>".
TensorMap run_with_taps(Component& component, const TensorMap& inputs) {
  TensorMap taps;
  const std::vector<std::string> tapped = component.tapped();
  const Observer observer = [&](const std::string& name, const Tensor& tensor) {
    if (std::find(tapped.begin(), tapped.end(), name) != tapped.end())
      taps["tap." + name] = tensor.clone();
  };
  TensorMap results = component.run(inputs, tapped.empty() ? Observer() : observer);
  results.merge(taps);
  return results;
}

void run(const Options& o) {
  check_output(o.outputs);
  const ComponentSource source = open_component(o.folder);
  if (source.weights) check_finite(*source.weights);
  const Family& family = find_family(source.config);
  const std::string method = o.method.empty() ? family.methods.front() : o.method;
  ComponentOptions options;
  options.compute = parse_compute(o.compute);
  options.taps = o.taps;
  options.plan.device = open_device(o.device);
  Component component(family.build(source.config, source.weights.get(), method), options);
  if (!o.taps.empty())
    OCTAVO_CHECK(!component.tapped().empty(),
                 "--tap {}: no value of {} has such a name; list them "
                 "with: octavo inspect {} --graph",
                 fmt::join(o.taps, " "), o.folder, o.folder);
  const TensorMap results = run_with_taps(component, load_tensors(o.inputs));
  save_safetensors(o.outputs, results, {{"class", family.class_name}, {"method", method}});
  for (const auto& [name, tensor] : results)
    log_info("{} {} {}", name, octavo::name(tensor.dtype()), to_string(tensor.shape()));
}

}  // namespace

void add_run(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "run",
      "One component (a diffusers or transformers folder) on given tensors.\n"
      "Inputs are named like the arguments of the method there (hidden_states,\n"
      "added_cond_kwargs.text_embeds, x, z), outputs like the fields of its result\n"
      "(sample, last_hidden_state, latent_dist.parameters).");
  auto o = std::make_shared<Options>();
  verb->add_option("FOLDER", o->folder, "Folder with config.json and safetensors, or a Flux file")
      ->required();
  verb->add_option("--method", o->method,
                   "forward, encode or decode (default: the family's first)");
  verb->add_option("--inputs", o->inputs, "safetensors or npz file")->required();
  verb->add_option("--outputs", o->outputs, "safetensors file to write")->required();
  verb->add_option("--tap", o->taps, "Also write values whose names match this pattern ('*', '?')");
  verb->add_option("--compute", o->compute, "f32 or bf16")->capture_default_str();
  add_device_option(*verb, o->device);
  verb->callback([o] { run(*o); });
}

}  // namespace octavo::cli
