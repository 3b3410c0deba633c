// The CUDA kernels over rows of Flux.1-dev: checks norm_modulate, qk_norm_rope and quantize against
// plain ones in f64, then times them beside a copy of as many bytes within the device. It links
// these kernels alone, on the first device, so that the program is small enough to carry.
//   bench_cuda_rows [check|time]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

#include "cuda_alone.cuh"
#include "kernels/cuda/codec.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {

namespace {

using Element = __nv_bfloat16;
constexpr double kEps = 1e-6;
constexpr int kRuns = 30, kWarmRuns = 3;
// What runs rotate over: several times the L2.
constexpr int64_t kPoolBytes = int64_t{512} << 20;

struct Memory {
  explicit Memory(size_t bytes) { check(cudaMalloc(&data, bytes), "allocating"); }
  ~Memory() { cudaFree(data); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::byte* bytes() const { return static_cast<std::byte*>(data); }
  void* data = nullptr;
};

__device__ uint32_t mix(uint32_t x) {
  x = (x ^ x >> 16) * 0x7feb352du;
  x = (x ^ x >> 15) * 0x846ca68bu;
  return x ^ x >> 16;
}

// Bell-shaped around `mean`; a few values are 100 times as far out.
template <class T>
__global__ void fill_random(T* to, int64_t n, uint32_t seed, float mean, float deviation) {
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += stride) {
    float sum = 0;
    for (uint32_t j = 0; j < 4; ++j) {
      sum +=
          static_cast<float>(mix(static_cast<uint32_t>(i) * 4 + j + mix(seed))) * 0x1p-32f - 0.5f;
    }
    const float factor = i % 5003 == 17 ? 100.0f : 1.0f;
    to[i] = from_float<T>(mean + sum * 1.7320508f * deviation * factor);
  }
}
template <class T>
void fill(void* to, int64_t n, uint32_t seed, float mean, float deviation) {
  fill_random<<<1024, 256, 0, the_stream>>>(static_cast<T*>(to), n, seed, mean, deviation);
  check(cudaGetLastError(), "filling");
}

// What all cases read and write.
struct Arena {
  static constexpr int64_t kPositions = 4608, kLongest = 15360;
  Memory x{kPoolBytes}, y{kPoolBytes}, scales{kPoolBytes / 128}, scale{kLongest * 2},
      shift{kLongest * 2}, cos{kPositions * 64 * 4}, sin{kPositions * 64 * 4}, given{4}, wrong{8},
      flag{4}, workspace{1 << 12};
  Arena() {
    fill<Element>(x.data, kPoolBytes / 2, 1, 0.3f, 1.7f);
    fill<Element>(scale.data, kLongest, 2, 0.0f, 0.3f);
    fill<Element>(shift.data, kLongest, 3, 0.0f, 0.3f);
    fill<float>(cos.data, kPositions * 64, 4, 0.0f, 0.7f);
    fill<float>(sin.data, kPositions * 64, 5, 0.0f, 0.7f);
    const float step = 0.0123f;
    check(cudaMemcpy(given.data, &step, sizeof(step), cudaMemcpyDefault), "uploading");
    check(cudaMemset(flag.data, 0, 4), "clearing");
    the_flag = static_cast<uint32_t*>(flag.data);
  }
};

struct Case {
  std::string name;
  const Kernel* kernel = nullptr;
  Call call;
  std::vector<const void*> parameters;  // inputs after x
  int64_t rows = 0, cols = 0;
  bool is_quantized = false, is_static = false, one_scale = false;
  DType format = DType::bf16;  // of the output

  int64_t elements() const { return rows * cols; }
  int64_t bytes_out() const { return elements() * info(format).bits / 8; }
  int64_t bytes() const { return elements() * 2 + bytes_out(); }
  int slots() const {
    return static_cast<int>(std::clamp<int64_t>(kPoolBytes / (elements() * 2), 1, 64));
  }
};

Operand operand(DType dtype, Shape shape) { return {dtype, std::move(shape), nullptr}; }

// The outputs of `spec` ("": bf16), and its scale among the inputs.
Case make_case(const Arena& arena, const Kernel& kernel, const Shape& shape,
               const std::string& spec) {
  Case c;
  c.name = kernel.name, c.kernel = &kernel;
  c.cols = shape.back();
  c.rows = element_count(shape) / c.cols;
  c.is_quantized = !spec.empty();
  c.is_static = spec.find("static") != spec.npos;
  c.one_scale = spec.find("/*x*/") != spec.npos;
  c.format = spec.empty() ? DType::bf16 : *find_dtype(spec.substr(0, spec.find('/')));
  c.call.op = kernel.op, c.call.name = c.name;
  c.call.inputs.push_back(operand(DType::bf16, shape));
  c.call.outputs.push_back(operand(c.format, shape));
  if (!spec.empty()) {
    const Shape scales = {c.one_scale ? 1 : c.rows, 1};
    c.call.outputs.push_back(operand(DType::f32, scales));
    c.call.attrs.set(kernel.op == Op::quantize ? "spec" : "out_spec", spec);
  }
  const auto add = [&](DType dtype, Shape of, const void* data) {
    c.call.inputs.push_back(operand(dtype, std::move(of)));
    c.parameters.push_back(data);
  };
  c.call.attrs.set("eps", kEps);
  if (kernel.op == Op::norm_modulate) {
    add(DType::bf16, {1, c.cols}, arena.scale.data);
    add(DType::bf16, {1, c.cols}, arena.shift.data);
  } else if (kernel.op == Op::qk_norm_rope) {
    add(DType::bf16, {c.cols}, arena.scale.data);
    add(DType::f32, {shape[1], c.cols / 2}, arena.cos.data);
    add(DType::f32, {shape[1], c.cols / 2}, arena.sin.data);
  }
  if (c.is_static) add(DType::f32, {1, 1}, arena.given.data);
  if (c.is_quantized && !c.is_static) {
    c.call.inputs.push_back(std::nullopt);
    c.parameters.push_back(nullptr);
  }
  c.name +=
      " " + to_string(shape) + " " + (spec.empty() ? "bf16" : spec.substr(0, spec.rfind('/')));
  const Verdict verdict = kernel.supports(c.call);
  if (!verdict.supported) fail(c.call, verdict.reason);
  return c;
}

// Operands that begin this many rows into the pools.
struct Placed {
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  Placed(const Arena& arena, const Case& c, int64_t row)
      : inputs{arena.x.bytes() + row * c.cols * 2},
        outputs{arena.y.bytes() + row * c.bytes_out() / c.rows, arena.scales.bytes() + row * 4} {
    inputs.insert(inputs.end(), c.parameters.begin(), c.parameters.end());
    outputs.resize(c.call.outputs.size());
  }
  Buffers buffers(const Arena& arena) const { return {inputs, outputs, arena.workspace.data}; }
};

// Launch number `slot` of the rotation.
void launch_case(const Arena& arena, const Case& c, int slot) {
  const Placed at(arena, c, slot * c.rows);
  c.kernel->launch(c.call, nullptr, at.buffers(arena));
}

// Cases that share a launch, one behind the other in the pools.
struct Group {
  std::vector<Case> cases;
  int64_t rows() const {
    int64_t sum = 0;
    for (const Case& c : cases) sum += c.rows;
    return sum;
  }
};
void launch_group(const Arena& arena, const Group& group, int slot) {
  std::vector<Placed> places;
  int64_t row = slot * group.rows();
  for (const Case& c : group.cases) {
    places.emplace_back(arena, c, row);
    row += c.rows;
  }
  std::vector<GroupMember> members;
  for (size_t i = 0; i < places.size(); ++i) {
    members.push_back({&group.cases[i].call, nullptr, places[i].buffers(arena)});
  }
  group.cases[0].kernel->launch_group(members);
}

// Checks
// --------------------------------------------------------------------------------------------

struct Checked {
  Op op;
  DType format;
  const Element *x, *scale, *shift;
  const void* y;
  const float *scales, *cos, *sin;
  int64_t cols, heads;
  bool one_scale;
};

__device__ double expected(const Checked& c, int64_t row, int64_t col, double mean,
                           double inverse) {
  const auto at = [&](int64_t i) { return double{to_float(c.x[row * c.cols + i])}; };
  if (c.op == Op::quantize) return at(col);
  const auto weight = [&](int64_t i) { return double{to_float(c.scale[i])}; };
  if (c.op == Op::norm_modulate) {
    return (at(col) - mean) * inverse * (1 + weight(col)) + to_float(c.shift[col]);
  }
  const int64_t angle = row / c.heads * (c.cols / 2) + col / 2, other = col ^ 1;
  const double a = at(col) * inverse * weight(col), b = at(other) * inverse * weight(other);
  return a * c.cos[angle] + (col % 2 ? b : -b) * c.sin[angle];
}

// Counts what is further from the exact result than half a step and f32's roundings. A block a row.
__global__ void compare(Checked c, double eps, unsigned long long* wrong) {
  __shared__ double mean, inverse;
  const int64_t row = blockIdx.x;
  if (threadIdx.x == 0) {
    double sum = 0, squares = 0;
    const bool centred = c.op == Op::norm_modulate;
    for (int64_t i = 0; centred && i < c.cols; ++i) sum += to_float(c.x[row * c.cols + i]);
    mean = sum / static_cast<double>(c.cols);
    for (int64_t i = 0; i < c.cols; ++i) {
      const double d = to_float(c.x[row * c.cols + i]) - mean;
      squares += d * d;
    }
    inverse = 1 / sqrt(squares / static_cast<double>(c.cols) + eps);
  }
  __syncthreads();
  for (int64_t col = threadIdx.x; col < c.cols; col += blockDim.x) {
    const double y = expected(c, row, col, mean, inverse), roundings = 1e-5 + 1e-5 * fabs(y);
    const int64_t i = row * c.cols + col;
    double found, allowed;
    if (c.format == DType::bf16) {
      found = to_float(static_cast<const Element*>(c.y)[i]);
      allowed = fabs(y) * 0x1p-8;
    } else {
      const double scale = c.scales[c.one_scale ? 0 : row];
      const uint32_t code = static_cast<const uint8_t*>(c.y)[i];
      const bool integer = c.format == DType::i8;
      const float value =
          integer ? Codec<DType::i8>::decode(code) : Codec<DType::e4m3>::decode(code);
      found = value * scale;
      const double top = integer ? 127 : 448;
      allowed = integer ? scale / 2 : fmax(fabs(y) / 16, scale * 0x1p-10);
      if (fabs(y) > top * scale) allowed = fmax(fabs(y) - top * scale, allowed);
    }
    if (!(fabs(found - y) <= allowed + roundings)) atomicAdd(wrong, 1ull);
  }
}

bool is_right(const Arena& arena, const Case& c) {
  check(cudaMemsetAsync(arena.y.data, 0xff, static_cast<size_t>(c.bytes_out()), the_stream),
        "fill");
  check(cudaMemsetAsync(arena.wrong.data, 0, 8, the_stream), "fill");
  launch_case(arena, c, 0);
  const auto elements = [](const Memory& m) { return static_cast<const Element*>(m.data); };
  const auto floats = [](const Memory& m) { return static_cast<const float*>(m.data); };
  const Shape& shape = c.call.inputs[0]->shape;
  compare<<<static_cast<unsigned>(c.rows), 256, 0, the_stream>>>(
      Checked{c.call.op, c.format, elements(arena.x), elements(arena.scale), elements(arena.shift),
              arena.y.data, floats(arena.scales), floats(arena.cos), floats(arena.sin), c.cols,
              shape[shape.size() - 2], c.one_scale},
      kEps, static_cast<unsigned long long*>(arena.wrong.data));
  check(cudaGetLastError(), "comparing");
  unsigned long long wrong = 0;
  check(cudaMemcpyAsync(&wrong, arena.wrong.data, 8, cudaMemcpyDefault, the_stream), "download");
  check(cudaStreamSynchronize(the_stream), c.name.c_str());
  if (wrong) std::printf("FAIL %s: %llu of %ld wrong\n", c.name.c_str(), wrong, c.elements());
  return wrong == 0;
}

// Do the members have the bits that each has alone?
bool is_right(const Arena& arena, const Group& group) {
  const Case& first = group.cases[0];
  std::vector<const Call*> calls;
  for (const Case& c : group.cases) calls.push_back(&c.call);
  if (!first.kernel->can_group(calls)) {
    std::printf("FAIL %s: no group\n", first.name.c_str());
    return false;
  }
  const int64_t bytes = group.rows() * first.bytes_out() / first.rows, scales = group.rows() * 4;
  std::vector<std::byte> alone(static_cast<size_t>(bytes + scales), std::byte{1}), together = alone;
  const auto run = [&](std::vector<std::byte>& found, const std::function<void()>& launches) {
    check(cudaMemsetAsync(arena.y.data, 0xff, static_cast<size_t>(bytes), the_stream), "fill");
    check(cudaMemsetAsync(arena.scales.data, 0xff, static_cast<size_t>(scales), the_stream),
          "fill");
    launches();
    check(cudaMemcpyAsync(found.data(), arena.y.data, static_cast<size_t>(bytes), cudaMemcpyDefault,
                          the_stream),
          "download");
    check(cudaMemcpyAsync(found.data() + bytes, arena.scales.data, static_cast<size_t>(scales),
                          cudaMemcpyDefault, the_stream),
          "download");
    check(cudaStreamSynchronize(the_stream), first.name.c_str());
  };
  run(alone, [&] {
    int64_t row = 0;
    for (const Case& c : group.cases) {
      const Placed at(arena, c, row);
      c.kernel->launch(c.call, nullptr, at.buffers(arena));
      row += c.rows;
    }
  });
  run(together, [&] { launch_group(arena, group, 0); });
  if (alone == together) return true;
  std::printf("FAIL %s and others: another result in one launch\n", first.name.c_str());
  return false;
}

// Times
// ---------------------------------------------------------------------------------------------

// Microseconds of one of `count` launches that a graph replays back to back: the median.
double time_launches(int count, const std::function<void(int)>& launch_one) {
  cudaGraph_t graph;
  cudaGraphExec_t replay;
  check(cudaStreamBeginCapture(the_stream, cudaStreamCaptureModeThreadLocal), "recording");
  for (int i = 0; i < count; ++i) launch_one(i);
  check(cudaStreamEndCapture(the_stream, &graph), "recording");
  check(cudaGraphInstantiate(&replay, graph, 0), "recording");
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  std::vector<float> times;
  for (int run = 0; run < kWarmRuns + kRuns; ++run) {
    check(cudaEventRecord(begin, the_stream), "event");
    check(cudaGraphLaunch(replay, the_stream), "replaying");
    check(cudaEventRecord(end, the_stream), "event");
    check(cudaEventSynchronize(end), "replaying");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "event");
    if (run >= kWarmRuns) times.push_back(milliseconds);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
  std::nth_element(times.begin(), times.begin() + kRuns / 2, times.end());
  return times[kRuns / 2] * 1e3 / count;
}

double time_copies(const Arena& arena, int count, int64_t bytes) {
  return time_launches(count, [&](int i) {
    check(cudaMemcpyAsync(arena.y.bytes() + i * bytes, arena.x.bytes() + i * bytes,
                          static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, the_stream),
          "copying");
  });
}

void time_against_copy(const Arena& arena, const std::string& name, int count, int64_t bytes,
                       const std::function<void(int)>& launch_one) {
  const double us = time_launches(count, launch_one);
  const double copy = time_copies(arena, count, bytes / 2);
  std::printf("%-52s %8.2f us %6.0f GB/s   copy %8.2f us   %.2f of the copy\n", name.c_str(), us,
              static_cast<double>(bytes) / us * 1e-3, copy, copy / us);
  std::fflush(stdout);
}

void time_case(const Arena& arena, const Case& c) {
  time_against_copy(arena, c.name, c.slots(), c.bytes(), [&](int i) { launch_case(arena, c, i); });
}

void time_group(const Arena& arena, const Group& group) {
  std::string name;
  int64_t bytes = 0;
  for (const Case& c : group.cases) {
    name += name.empty() ? c.name : " + " + std::to_string(c.rows);
    bytes += c.bytes();
  }
  const int64_t held = group.rows() * group.cases[0].cols * 2;
  time_against_copy(arena, name, static_cast<int>(std::clamp<int64_t>(kPoolBytes / held, 1, 64)),
                    bytes, [&](int i) { launch_group(arena, group, i); });
}

std::vector<Case> all_cases(const Arena& arena) {
  const std::string given = "e4m3/*x*/static/f32", by_row = "e4m3/1x*/dynamic/f32",
                    integers = "i8/1x*/dynamic/f32", by_tensor = "e4m3/*x*/dynamic/f32";
  std::vector<Case> cases;
  for (const int64_t rows : {4608, 4096, 512}) {
    for (const std::string& spec : {std::string(), given, by_row, integers, by_tensor}) {
      cases.push_back(make_case(arena, kNormModulate, {1, rows, 3072}, spec));
    }
  }
  for (const int64_t rows : {4608, 4096, 512}) {
    cases.push_back(make_case(arena, kQkNormRope, {1, rows, 24, 128}, ""));
  }
  for (const Shape& shape :
       {Shape{1, 4608, 15360}, Shape{1, 4608, 3072}, Shape{1, 4096, 3072}, Shape{1, 512, 3072}}) {
    for (const std::string& spec : {given, by_row, integers, by_tensor}) {
      cases.push_back(make_case(arena, kQuantize, shape, spec));
    }
  }
  return cases;
}

// The two streams of a double block.
std::vector<Group> all_groups(const Arena& arena) {
  std::vector<Group> groups;
  for (const char* spec : {"", "e4m3/*x*/static/f32", "e4m3/1x*/dynamic/f32", "i8/*x*/static/f32",
                           "i8/1x*/dynamic/f32"}) {
    Group group;
    for (const int64_t rows : {4096, 512}) {
      group.cases.push_back(make_case(arena, kNormModulate, {1, rows, 3072}, spec));
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

int run(bool checks, bool times) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0), "device");
  the_device.arch = properties.major * 10 + properties.minor;
  the_device.processors = properties.multiProcessorCount;
  check(cudaStreamCreate(&the_stream), "stream");
  const Arena arena;
  const std::vector<Case> cases = all_cases(arena);
  const std::vector<Group> groups = all_groups(arena);
  int wrong = 0;
  for (const Case& c : cases) wrong += checks && !is_right(arena, c);
  for (const Group& group : groups) wrong += checks && !is_right(arena, group);
  if (checks) std::printf("%d of %zu cases wrong\n", wrong, cases.size() + groups.size());
  if (times) {
    const double us = time_copies(arena, 2, kPoolBytes / 2);
    std::printf("a copy of %ld MiB: %.0f GB/s read and written\n", kPoolBytes >> 21,
                static_cast<double>(kPoolBytes) / us * 1e-3);
    for (const Case& c : cases) time_case(arena, c);
    for (const Group& group : groups) time_group(arena, group);
  }
  return wrong > 0;
}

}  // namespace
}  // namespace octavo::cuda

int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[1] : "";
  try {
    return octavo::cuda::run(std::strcmp(what, "time") != 0, std::strcmp(what, "check") != 0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
