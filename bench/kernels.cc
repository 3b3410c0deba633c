// Times every CPU kernel that supports a case of kernel_cases.cc, and says how far its results are
// from the reference's (err: largest difference over the reference's largest magnitude; for codes:
// the largest difference of codes).
//   bench_kernels --benchmark_filter='linear/.*i8'      OCTAVO_THREADS=2, OCTAVO_CPU_ISA=avx2
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>

#include "base/threads.h"
#include "kernel_cases.h"
#include "kernels/kernel.h"

namespace octavo::bench {
namespace {

// A case with data.
struct Problem {
  const Case* source = nullptr;
  Call call;
  std::vector<Tensor> inputs, outputs;
  std::vector<const void*> sources;
  std::vector<void*> destinations;
  double flops = 0, bytes = 0;
};

Tensor random_tensor(const Input& input, std::mt19937& generator) {
  std::uniform_real_distribution<float> uniform(input.low, input.high);
  Tensor values = Tensor::empty(DType::f32, input.shape);
  for (int64_t i = 0; i < values.elements(); ++i)
    values.as_mutable<float>()[i] = uniform(generator);
  return values.to(input.dtype);
}

std::shared_ptr<Problem> make_problem(const Case& c) {
  auto p = std::make_shared<Problem>();
  p->source = &c;
  std::vector<std::optional<ValueType>> types;
  for (const auto& input : c.inputs) {
    p->inputs.push_back(input ? Tensor::zeros(input->dtype, input->shape) : Tensor());
    types.push_back(input ? std::optional(ValueType{input->dtype, symbolic(input->shape)})
                          : std::nullopt);
  }
  const auto results = infer_types(c.op, types, c.attrs);
  types.resize(std::max(types.size(), static_cast<size_t>(std::max(0, info(c.op).max_inputs))));
  p->inputs.resize(types.size());
  p->call = {.op = c.op, .attrs = c.attrs, .inputs = {}, .outputs = {}, .name = c.name};
  for (size_t i = 0; i < types.size(); ++i) {
    p->sources.push_back(p->inputs[i].data());
    p->call.inputs.push_back(std::nullopt);
    if (!types[i]) continue;
    const bool constant = c.inputs[i]->constant;
    p->call.inputs[i] =
        Operand{types[i]->dtype, c.inputs[i]->shape, constant ? &p->inputs[i] : nullptr};
    p->bytes += static_cast<double>(p->inputs[i].bytes());
  }
  for (const ValueType& type : results) {
    const Shape shape = evaluate(type.shape, {});
    p->call.outputs.push_back({type.dtype, shape});
    p->outputs.push_back(Tensor::empty(type.dtype, shape));
    p->destinations.push_back(p->outputs.back().mutable_data());
    p->bytes += static_cast<double>(p->outputs.back().bytes());
  }
  p->flops = static_cast<double>(info(c.op).flops(types, results, c.attrs).value());
  return p;
}

// Values are drawn once a case is about to run; until then all are zero.
void fill(Problem& problem) {
  std::mt19937 generator(1);
  for (size_t i = 0; i < problem.source->inputs.size(); ++i) {
    const auto& input = problem.source->inputs[i];
    if (!input) continue;
    const Tensor values = random_tensor(*input, generator);
    std::memcpy(problem.inputs[i].mutable_data(), values.data(), values.bytes());
  }
}

class Launcher {
 public:
  Launcher(const Kernel& kernel, Problem& problem) : kernel_(kernel), problem_(problem) {
    state_ = kernel.prepare ? kernel.prepare(problem.call) : nullptr;
    const size_t bytes = kernel.workspace ? kernel.workspace(problem.call, state_.get()) : 0;
    workspace_ = Tensor::empty(DType::u8, {static_cast<int64_t>(bytes)});
  }
  void operator()() {
    kernel_.launch(problem_.call, state_.get(),
                   {problem_.sources, problem_.destinations, workspace_.mutable_data()});
  }

 private:
  const Kernel& kernel_;
  Problem& problem_;
  std::shared_ptr<const KernelState> state_;
  Tensor workspace_;
};

std::vector<float> first_output(const Kernel& kernel, Problem& problem) {
  Launcher(kernel, problem)();
  return problem.outputs[0].to_floats();
}

double difference(const Problem& problem, const std::vector<float>& a,
                  const std::vector<float>& b) {
  double largest = 0, top = 1e-30;
  for (size_t i = 0; i < a.size(); ++i) {
    const double gap = std::abs(double{a[i]} - double{b[i]});
    largest = std::isnan(gap) ? INFINITY : std::max(largest, gap);
    top = std::max(top, std::abs(double{b[i]}));
  }
  return problem.outputs.size() > 1 ? largest : largest / top;
}

void run(benchmark::State& state, const Kernel& kernel, const Kernel& reference,
         const std::shared_ptr<Problem>& problem) {
  fill(*problem);
  const auto expected = first_output(reference, *problem);
  const auto found = first_output(kernel, *problem);
  Launcher launch(kernel, *problem);
  for (auto _ : state) launch();
  using benchmark::Counter;
  const auto rate = Counter::kIsIterationInvariantRate;
  if (problem->flops > 0) state.counters["FLOP/s"] = Counter(problem->flops, rate);
  state.counters["B/s"] = Counter(problem->bytes, rate);
  state.counters["err"] = difference(*problem, found, expected);
}

void run_step(benchmark::State& state, const std::vector<Case>& cases, bool quantized) {
  std::vector<std::unique_ptr<Launcher>> launches;
  std::vector<std::shared_ptr<Problem>> problems;
  double flops = 0;
  for (const StepPart& part : step_parts(quantized)) {
    for (const Case& c : cases) {
      if (c.op != part.op || c.name != part.name) continue;
      for (int i = 0; i < part.count; ++i) {
        problems.push_back(make_problem(c));
        fill(*problems.back());
        flops += problems.back()->flops;
        launches.push_back(std::make_unique<Launcher>(*select_kernel(problems.back()->call).kernel,
                                                      *problems.back()));
      }
    }
  }
  for (auto _ : state) {
    for (const auto& launch : launches) (*launch)();
  }
  state.counters["FLOP/s"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["launches"] = static_cast<double>(launches.size());
}

}  // namespace
}  // namespace octavo::bench

int main(int argc, char** argv) {
  using namespace octavo;
  benchmark::Initialize(&argc, argv);
  benchmark::AddCustomContext("threads", fmt::format("{}", thread_count()));
  const auto cases = bench::kernel_cases();
  for (const bench::Case& c : cases) {
    const auto problem = bench::make_problem(c);
    const auto kernels = cpu_kernels(c.op);
    for (const Kernel& kernel : kernels) {
      if (!kernel.supports(problem->call).supported) continue;
      benchmark::RegisterBenchmark(fmt::format("{}/{}/{}", name(c.op), c.name, kernel.name).c_str(),
                                   [&kernel, kernels, problem](benchmark::State& state) {
                                     bench::run(state, kernel, kernels.back(), problem);
                                   })
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
    }
  }
  for (const bool quantized : {false, true}) {
    benchmark::RegisterBenchmark(
        quantized ? "step/i8" : "step/f32",
        [&cases, quantized](benchmark::State& state) { bench::run_step(state, cases, quantized); })
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  }
  benchmark::RunSpecifiedBenchmarks();
}
