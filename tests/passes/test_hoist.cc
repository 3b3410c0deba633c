#include "pass_testing.h"
#include "passes/hoist.h"
#include "passes/pipeline.h"

namespace octavo {
namespace {

using ::testing::HasSubstr;

std::string normal(const std::string& text) { return to_text(dead_code(parse_graph(text))); }

// A small transformer in the shape of Flux: picture and text tokens, timestep, pooled text.
constexpr const char* kFlux = R"(graph flux {
  input hidden_states: f32[B, S, 8] step
  input encoder_hidden_states: f32[B, T, 8] request
  input pooled: f32[B, 6] request
  input timestep: f32[B] schedule
  input ids: f32[S + T, 1] request
  const time.w: f32[8, 4]
  const pool.w: f32[8, 6]
  const ctx.w: f32[8, 8]
  const mod.w: f32[24, 8]
  const qkv.w: f32[8, 8]
  const out.w: f32[8, 8]
  const ones: f32[8]
  scaled = affine(timestep) {scale = 1000, shift = 0}
  sinus = timestep_embedding(scaled)
    {dim = 4, flip_sin_to_cos = true, freq_shift = 0, max_period = 10000}
  time = linear(sinus, time.w)
  pool = linear(pooled, pool.w)
  temb = add(time, pool)
  act = silu(temb)
  m = linear(act, mod.w)
  shift = slice(m) {axis = 1, begin = 0, end = 8}
  scale = slice(m) {axis = 1, begin = 8, end = 16}
  gate = slice(m) {axis = 1, begin = 16, end = 24}
  context = linear(encoder_hidden_states, ctx.w)
  cos, sin = rope_table(ids) {axes = [8], theta = 10000}
  joined = concat(context, hidden_states) {axis = 1}
  norm = norm_modulate(joined, scale, shift) {eps = 1e-6}
  qkv = linear(norm, qkv.w)
  heads = reshape(qkv) {shape = [B, S + T, 1, 8]}
  rotated = qk_norm_rope(heads, ones, cos, sin) {eps = 1e-6}
  attn = attention(rotated, rotated, heads) {scale = 1}
  flat = reshape(attn) {shape = [B, S + T, 8]}
  out = linear(flat, out.w, _, gate, joined)
  picture = slice(out) {axis = 1, begin = T, end = S + T}
  output sample = picture
})";

TEST(Hoist, SplitsByRate) {
  const StagedGraph stages = hoist(parse_graph(kFlux));
  EXPECT_EQ(to_text(stages.request), normal(R"(graph flux/request {
    input pooled: f32[B, 6] request
    input encoder_hidden_states: f32[B, T, 8] request
    input ids: f32[S + T, 1] request
    const pool.w: f32[8, 6]
    const ctx.w: f32[8, 8]
    pool = linear(pooled, pool.w)
    context = linear(encoder_hidden_states, ctx.w)
    cos, sin = rope_table(ids) {axes = [8], theta = 10000}
    output pool = pool
    output context = context
    output cos = cos
    output sin = sin
  })"));
  EXPECT_EQ(to_text(stages.schedule), normal(R"(graph flux/schedule {
    input timestep: f32[B] schedule
    const time.w: f32[8, 4]
    scaled = affine(timestep) {scale = 1000, shift = 0}
    sinus = timestep_embedding(scaled)
      {dim = 4, flip_sin_to_cos = true, freq_shift = 0, max_period = 10000}
    time = linear(sinus, time.w)
    output time = time
  })"));
  EXPECT_EQ(to_text(stages.trajectory), normal(R"(graph flux/trajectory {
    input time: f32[B, 8] schedule
    input pool: f32[B, 8] request
    const mod.w: f32[24, 8]
    temb = add(time, pool)
    act = silu(temb)
    m = linear(act, mod.w)
    shift = slice(m) {axis = 1, begin = 0, end = 8}
    scale = slice(m) {axis = 1, begin = 8, end = 16}
    gate = slice(m) {axis = 1, begin = 16, end = 24}
    output shift = shift
    output scale = scale
    output gate = gate
  })"));
  const std::string step = to_text(stages.step);
  EXPECT_THAT(step, HasSubstr("input scale: f32[B, 8] trajectory"));
  EXPECT_THAT(step, HasSubstr("input context: f32[B, T, 8] request"));
  EXPECT_THAT(step, HasSubstr("output sample = picture"));
  EXPECT_EQ(stages.step.inputs().size(), 7u) << step;
  EXPECT_EQ(stages.step.nodes().size(), 9u) << step;
}

// What one stage gives is what the next ones take, by name, type and rate.
void expect_chained(const Graph& source, const StagedGraph& stages) {
  std::map<std::string, ValueType> known;
  for (ValueId id : source.inputs()) known[source.value(id).name] = source.value(id).type;
  std::map<std::string, ValueType> results;
  for (const Graph* g : {&stages.request, &stages.schedule, &stages.trajectory, &stages.step}) {
    for (ValueId id : g->inputs()) {
      ASSERT_TRUE(known.count(g->value(id).name)) << g->name << " takes " << g->value(id).name;
      EXPECT_TRUE(known[g->value(id).name] == g->value(id).type) << g->value(id).name;
    }
    for (const Graph::Output& output : g->outputs()) {
      known[output.name] = results[output.name] = g->value(output.value).type;
    }
  }
  for (const Graph::Output& output : source.outputs()) {
    ASSERT_TRUE(results.count(output.name)) << output.name;
    EXPECT_TRUE(results[output.name] == source.value(output.value).type);
  }
}

TEST(Hoist, StagesChain) {
  const Graph g = parse_graph(kFlux);
  expect_chained(g, hoist(g));
  const Graph optimized = run_passes(g);
  expect_chained(optimized, hoist(optimized));
}

TEST(Hoist, OutputsStayWithTheirStage) {
  Graph g = parse_graph(kFlux);
  for (const char* tap : {"context", "m", "gate", "time"}) g.add_output(tap, *g.find(tap));
  const StagedGraph stages = hoist(g);
  expect_chained(g, stages);
  const auto outputs = [](const Graph& graph) {
    std::vector<std::string> names;
    for (const Graph::Output& output : graph.outputs()) names.push_back(output.name);
    return names;
  };
  EXPECT_THAT(outputs(stages.trajectory), ::testing::ElementsAre("m", "gate", "shift", "scale"));
  EXPECT_THAT(outputs(stages.step), ::testing::ElementsAre("sample"));
}

TEST(Hoist, APublicNameThatACrossingValueBears) {
  const Graph g = parse_graph(R"(graph g {
    input x: f32[B] step
    input t: f32[B] schedule
    sample = silu(t)
    y = add(x, sample)
    output sample = y
  })");
  const StagedGraph stages = hoist(g);
  EXPECT_EQ(stages.schedule.outputs()[0].name, "sample#stage");
  EXPECT_TRUE(stages.step.find("sample#stage"));
  EXPECT_EQ(stages.step.outputs()[0].name, "sample");
}

TEST(Hoist, ConstantPartsAreCopiedAndViewsMadeWhereUsed) {
  const Graph g = parse_graph(R"(graph g {
    input x: f32[B, S, 8] step
    input t: f32[B, 8] schedule
    const w: f32[8]
    v = silu(w)
    a = mul(t, v)
    row = reshape(a) {shape = [B, 1, 8]}
    wide = expand(row) {shape = [B, S, 8]}
    y = mul(x, wide)
    z = mul(y, v)
    output z = z
  })");
  const StagedGraph stages = hoist(g);
  expect_chained(g, stages);
  EXPECT_EQ(to_text(stages.schedule), normal(R"(graph g/schedule {
    input t: f32[B, 8] schedule
    const w: f32[8]
    v = silu(w)
    a = mul(t, v)
    output a = a
  })"));
  EXPECT_EQ(to_text(stages.step), normal(R"(graph g/step {
    input a: f32[B, 8] schedule
    input x: f32[B, S, 8] step
    const w: f32[8]
    v = silu(w)
    row = reshape(a) {shape = [B, 1, 8]}
    wide = expand(row) {shape = [B, S, 8]}
    y = mul(x, wide)
    z = mul(y, v)
    output z = z
  })"));
}

// A sequence that changes with every step is not kept for all of them.
TEST(Hoist, LargeTrajectoryValuesStayInTheStep) {
  const std::string text = R"(graph g {
    input x: f32[B, T, 8] step
    input c: f32[B, T, 8] request
    input t: f32[B, 8] schedule
    const w: f32[8, 8]
    u = silu(c)
    n = norm_modulate(u, t, t) {eps = 1e-6}
    k = linear(n, w)
    y = add(x, k)
    output y = y
  })";
  const StagedGraph stages = hoist(parse_graph(text));
  EXPECT_EQ(stages.request.nodes().size(), 1u);
  EXPECT_EQ(stages.trajectory.nodes().size(), 0u);
  EXPECT_EQ(stages.step.nodes().size(), 3u);
  std::string fixed = text;
  for (size_t at; (at = fixed.find("T")) != std::string::npos;) fixed.replace(at, 1, "64");
  EXPECT_EQ(hoist(parse_graph(fixed)).trajectory.nodes().size(), 2u) << "small enough";
}

TEST(Hoist, ReportCountsEachParameterOnce) {
  const Graph g = parse_graph(kFlux);
  HoistReport rows = report(hoist(g));
  EXPECT_EQ(rows[Rate::request].parameters, 8 * 6 + 8 * 8);
  EXPECT_EQ(rows[Rate::schedule].parameters, 8 * 4);
  EXPECT_EQ(rows[Rate::trajectory].parameters, 24 * 8);
  EXPECT_EQ(rows[Rate::step].parameters, 8 * 8 * 2 + 8);
  EXPECT_EQ(rows[Rate::trajectory].flops.text(), "384*B");
  EXPECT_EQ(rows[Rate::request].nodes, 3);
  Dim staged, whole;
  for (const auto& [rate, row] : rows) staged = staged + row.flops;
  for (const auto& [rate, flops] : flops_by_rate(g)) whole = whole + flops;
  EXPECT_EQ(staged, whole);
}

TEST(BatchParallel, StagesOfFlux) {
  const StagedGraph stages = hoist(parse_graph(kFlux));
  EXPECT_TRUE(batch_parallel(stages.schedule, "B"));
  EXPECT_TRUE(batch_parallel(stages.trajectory, "B"));
  EXPECT_FALSE(batch_parallel(stages.request, "B")) << "cos and sin are not per sample";
}

std::string stage(const std::string& body, const std::string& inputs = "") {
  return "graph s { input t: f32[B, 8] schedule " + inputs + " " + body + " output y = y }";
}
bool parallel(const std::string& text) { return batch_parallel(parse_graph(text), "B"); }

TEST(BatchParallel, RowsMustStayApart) {
  EXPECT_TRUE(parallel(stage("y = silu(t)")));
  EXPECT_TRUE(parallel(stage("y = reshape(t) {shape = [2*B, 4]}")));
  EXPECT_TRUE(parallel(stage("y = rms_norm(t) {eps = 1e-6}")));
  EXPECT_TRUE(parallel(stage("y, s = quantize(t) {spec = \"i8/1x*/dynamic/f32\"}")));
  EXPECT_TRUE(parallel(stage("y = add(t, v)", "const v: f32[8]")));
  EXPECT_TRUE(parallel(stage("e = expand(v) {shape = [B, 8]} y = add(t, e)", "const v: f32[8]")));
  EXPECT_FALSE(parallel(stage("y, s = quantize(t) {spec = \"i8/*x*/dynamic/f32\"}")));
  EXPECT_TRUE(parallel(stage("y, s = quantize(t) {spec = \"e2m1/1x4/dynamic/mx\"}")));
  EXPECT_FALSE(parallel(stage("y, s = quantize(t) {spec = \"e2m1/1x4/dynamic/e4m3*f32\"}")));
  EXPECT_FALSE(parallel(stage("y = transpose(t) {perm = [1, 0]}")));
  EXPECT_FALSE(parallel(stage("y = reshape(t) {shape = [8, B]}")));
  EXPECT_FALSE(parallel(stage("y = concat(t, t) {axis = 0}")));
  EXPECT_TRUE(parallel(stage("y = concat(t, t) {axis = 1}")));
  EXPECT_FALSE(
      parallel(stage("u = reshape(t) {shape = [2*B, 4]} y = slice(u) {axis = 0, begin = 0, "
                     "end = B}")));
  EXPECT_FALSE(parallel(stage("y = linear(v, t)", "const v: f32[4, 8]"))) << "a weight";
  EXPECT_FALSE(parallel(stage("u = reshape(t) {shape = [8*B]} y = rms_norm(u) {eps = 1e-6}")));
  EXPECT_FALSE(parallel(stage("y = slice(v) {axis = 0, begin = 0, end = 4}", "const v: f32[8]")));
}

TEST(BatchParallel, WhatChangesMustBeStacked) {
  EXPECT_FALSE(parallel(stage("y = add(t, u)", "input u: f32[8] schedule")));
  EXPECT_TRUE(parallel(stage("y = add(t, u)", "input u: f32[8] request")));
  EXPECT_FALSE(parallel(stage("y = add(t, u)", "input u: f32[1, 8] trajectory")));
  EXPECT_TRUE(parallel(stage("y = add(t, u)", "input u: f32[B, 8] trajectory")));
}

}  // namespace
}  // namespace octavo
