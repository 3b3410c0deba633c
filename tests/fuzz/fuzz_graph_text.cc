// A graph's text: parsed, verified, printed, parsed again; then every pass and hoisting, whose
// results are verified too, so that a rewrite that breaks some odd graph is a find.
#include "fuzz/fuzz.h"
#include "graph/graph.h"
#include "passes/hoist.h"
#include "passes/pipeline.h"

using namespace octavo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz::refuse_or_accept([&] {
    const Graph graph = parse_graph({reinterpret_cast<const char*>(data), size}, "fuzz.graph");
    verify(graph, "parsing");
    const std::string text = to_text(graph);
    fuzz::must(to_text(parse_graph(text)) == text, "a printed graph reads back as itself");
    PassOptions options;
    options.compute = size % 2 == 0 ? DType::f32 : DType::bf16;
    const Graph rewritten = run_passes(graph, options);
    const StagedGraph stages = hoist(rewritten);
    for (const Graph* stage : {&stages.request, &stages.schedule, &stages.trajectory}) {
      batch_parallel(*stage, "B");
    }
    size_t outputs = 0;
    for (const Graph::Output& output : rewritten.outputs()) {
      for (const Graph* g : {&stages.request, &stages.schedule, &stages.trajectory, &stages.step}) {
        for (const Graph::Output& made : g->outputs()) outputs += made.name == output.name;
      }
    }
    fuzz::must(outputs == graph.outputs().size(), "every output comes from exactly one stage");
  });
}
