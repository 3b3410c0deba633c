// What plans ask of CUDA kernels beside the result (kernel.h, Rules): batch invariance, and the
// fallback of devices without FP8 units.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <set>

#include "base/check.h"
#include "cuda_device.h"
#include "kernels/cases.h"
#include "kernels/cuda/device.h"
#include "kernels/device_call.h"
#include "octavo/quant_spec.h"
#include "support.h"

namespace octavo::test {
namespace {

// A problem of many samples; `batched` are the inputs whose axis 0 is samples, or rows of samples.
struct Problem {
  std::string name;
  Op op;
  Attrs attrs;
  Inputs inputs;
  std::vector<size_t> batched;
  int64_t samples;
};

// Samples [begin, end) of the problem.
Inputs part_of(const Problem& p, int64_t begin, int64_t end) {
  Inputs part = p.inputs;
  for (const size_t i : p.batched) {
    if (!part[i]) continue;
    const int64_t rows = part[i]->dim(0) / p.samples;
    part[i] = part[i]->rows(begin * rows, end * rows).clone();
  }
  return part;
}

struct Linear {
  DType x, w;
  int64_t samples, rows, k, n;
  std::string activation = "none", out_spec = "";
  bool sides = false;  // gate and residual
};
Problem linear(const Linear& l) {
  Problem p{fmt::format("linear_{}_{}_{}x{}x{}x{}_{}{}{}", name(l.x), name(l.w), l.samples, l.rows,
                        l.k, l.n, l.activation, l.sides ? "_sides" : "", l.out_spec),
            Op::linear,
            {{"activation", l.activation}},
            Inputs(6),
            {0, 3, 4},
            l.samples};
  p.inputs[0] = values({l.samples, l.rows, l.k}, l.x, 1);
  p.inputs[1] = values({l.n, l.k}, l.w, 2, Data::normal, 0.2f);
  p.inputs[2] = values({l.n}, l.x, 3);
  if (l.sides) p.inputs[3] = values({l.samples, l.n}, l.x, 4);
  if (l.sides) p.inputs[4] = values({l.samples, l.rows, l.n}, l.x, 5);
  if (!l.out_spec.empty()) p.attrs.set("out_spec", l.out_spec);
  if (l.out_spec.find("static") != l.out_spec.npos) p.inputs[5] = Tensor::from({0.1f}, {1, 1});
  return p;
}

struct Codes {
  std::string x_spec, w_spec;  // x_spec "": x is bf16
  int64_t samples, rows, k, n;
  std::string activation = "none", out_spec = "";
  bool sides = false;
};
Problem codes(const Codes& c) {
  Problem p{fmt::format("codes_{}_{}_{}x{}x{}x{}_{}{}{}", c.x_spec, c.w_spec, c.samples, c.rows,
                        c.k, c.n, c.activation, c.sides ? "_sides" : "", c.out_spec),
            Op::quantized_linear,
            {{"w_spec", c.w_spec}, {"activation", c.activation}},
            Inputs(9),
            {0, 6, 7},
            c.samples};
  const auto matrix = [](Shape shape, const QuantSpec& spec, uint64_t seed) {
    const DType format = *find_dtype(spec.format);
    const auto largest = static_cast<float>(info(format).max);
    return values(std::move(shape), format, seed, Data::normal, largest / 4);
  };
  const QuantSpec w = QuantSpec::parse(c.w_spec);
  p.inputs[0] = values({c.samples, c.rows, c.k}, DType::bf16, 1);
  if (!c.x_spec.empty()) {
    const QuantSpec x = QuantSpec::parse(c.x_spec);
    p.attrs.set("x_spec", c.x_spec);
    p.attrs.set("to", std::string("bf16"));
    p.inputs[0] = matrix({c.samples, c.rows, c.k}, x, 1);
    const std::vector<int64_t> shape = x.scale_shape(c.samples * c.rows, c.k);
    p.inputs[1] = values(shape, DType::f32, 2, Data::normal, 0.01f);
    if (x.tile_rows == 1) p.batched.push_back(1);
  }
  p.inputs[2] = matrix({c.n, c.k}, w, 3);
  p.inputs[3] = values(w.scale_shape(c.n, c.k), DType::f32, 4, Data::normal, 0.01f);
  p.inputs[5] = values({c.n}, DType::bf16, 5);
  if (c.sides) p.inputs[6] = values({c.samples, c.n}, DType::bf16, 6);
  if (c.sides) p.inputs[7] = values({c.samples, c.rows, c.n}, DType::bf16, 7);
  if (!c.out_spec.empty()) p.attrs.set("out_spec", c.out_spec);
  if (c.out_spec.find("static") != c.out_spec.npos) p.inputs[8] = Tensor::from({0.1f}, {1, 1});
  return p;
}

Problem attention(DType dtype, int64_t samples, int64_t tokens, int64_t heads, int64_t depth,
                  bool mask) {
  Problem p{fmt::format("attention_{}_{}x{}x{}x{}{}", name(dtype), samples, tokens, heads, depth,
                        mask ? "_mask" : ""),
            Op::attention,
            {{"scale", 1 / std::sqrt(static_cast<double>(depth))}},
            Inputs(4),
            {0, 1, 2, 3},
            samples};
  for (const size_t i : {0, 1, 2}) p.inputs[i] = values({samples, tokens, heads, depth}, dtype, i);
  if (mask) p.inputs[3] = values({samples, 1, 1, tokens}, DType::f32, 3);
  return p;
}

Problem by_rows(Op op, Attrs attrs, Inputs inputs, std::vector<size_t> batched) {
  const int64_t samples = inputs[0]->dim(0);
  const std::string text =
      fmt::format("{}_{}{}", name(op), name(inputs[0]->dtype()), to_string(inputs[0]->shape()));
  return {text, op, std::move(attrs), std::move(inputs), std::move(batched), samples};
}

void add_products(std::vector<Problem>& list) {
  const std::string row = "e4m3/1x*/dynamic/f32", tensor = "e4m3/*x*/static/f32";
  using T = DType;
  const std::pair<T, T> types[] = {
      {T::f32, T::f32}, {T::bf16, T::bf16}, {T::f16, T::f16}, {T::bf16, T::f32}, {T::f32, T::bf16}};
  for (const auto& [x, w] : types) {
    list.push_back(linear({x, w, 300, 5, 256, 96}));
    list.push_back(linear({x, w, 300, 5, 256, 96, "gelu_tanh", "", true}));
    list.push_back(linear({x, w, 64, 7, 41, 19, "silu"}));
    list.push_back(linear({x, w, 24, 1, 3072, 64}));
    list.push_back(linear({x, w, 120, 5, 256, 96, "none", row}));
    list.push_back(linear({x, w, 120, 5, 256, 96, "gelu_tanh", tensor}));
  }
  for (const std::string format : {"e4m3", "i8"}) {
    for (const std::string x : {"/1x*/dynamic/f32", "/*x*/static/f32"}) {
      for (const std::string w : {"/1x*/static/f32", "/*x*/static/f32"}) {
        const std::string x_spec = format + x, w_spec = format + w;
        list.push_back(codes({x_spec, w_spec, 300, 5, 256, 96}));
        list.push_back(codes({x_spec, w_spec, 300, 5, 256, 96, "none", "", true}));
        list.push_back(codes({x_spec, w_spec, 24, 1, 3072, 64}));
        list.push_back(
            codes({x_spec, w_spec, 120, 5, 256, 96, "gelu_tanh", format + "/*x*/static/f32"}));
      }
    }
  }
  for (const std::string w : {"i8/1x*/static/f32", "e4m3/1x*/static/f32", "i4/1x64/static/f32"}) {
    list.push_back(codes({"", w, 300, 5, 256, 96}));
    list.push_back(codes({"", w, 24, 1, 3072, 64, "gelu_tanh", "", true}));
  }
}

void add_rows(std::vector<Problem>& list) {
  const std::string spec = "e4m3/1x*/dynamic/f32";
  const Attrs eps{{"eps", 1e-6}};
  for (const DType d : {DType::f32, DType::bf16}) {
    for (const int64_t columns : {65, 256, 3072}) {
      const Tensor x = values({9, 40, columns}, d, 1), g = values({columns}, d, 2);
      const Tensor scale = values({9, columns}, d, 3), shift = values({9, columns}, d, 4);
      list.push_back(by_rows(Op::rms_norm, eps, {x, g}, {0}));
      list.push_back(by_rows(Op::layer_norm, eps, {x, g, g}, {0}));
      list.push_back(by_rows(Op::norm_modulate, eps, {x, scale, shift, std::nullopt}, {0, 1, 2}));
      list.push_back(by_rows(Op::norm_modulate, {{"eps", 1e-6}, {"out_spec", spec}},
                             {x, scale, shift, std::nullopt}, {0, 1, 2}));
      list.push_back(by_rows(Op::quantize, {{"spec", spec}}, {x, std::nullopt}, {0}));
      list.push_back(by_rows(Op::gelu, {{"approximate", std::string("tanh")}}, {x}, {0}));
      list.push_back(by_rows(Op::add, {}, {x, values({9, 40, columns}, d, 5)}, {0, 1}));
    }
    const Tensor heads = values({9, 40, 4, 64}, d, 1), angle = values({40, 32}, DType::f32, 2);
    list.push_back(by_rows(Op::rope, {}, {heads, angle, angle}, {0}));
    list.push_back(by_rows(Op::qk_norm_rope, eps, {heads, values({64}, d, 3), angle, angle}, {0}));
    list.push_back(
        by_rows(Op::group_norm,
                {{"groups", int64_t{4}}, {"eps", 1e-6}, {"activation", std::string("silu")}},
                {values({9, 16, 33, 17}, d, 1), values({16}, d, 2), values({16}, d, 3)}, {0}));
    list.push_back(by_rows(Op::conv2d,
                           {{"stride", int64_t{1}}, {"pads", std::vector<int64_t>{1, 1, 1, 1}}},
                           {values({9, 16, 17, 9}, d, 1), values({24, 16, 3, 3}, d, 2),
                            values({24}, d, 3), std::nullopt},
                           {0}));
  }
}

const std::vector<Problem>& problems() {
  static const std::vector<Problem> all = [] {
    std::vector<Problem> list;
    add_products(list);
    for (const DType d : {DType::f32, DType::bf16, DType::f16}) {
      for (const bool mask : {false, true}) {
        list.push_back(attention(d, 9, 130, 4, 64, mask));
        list.push_back(attention(d, 9, 300, 3, 128, mask));
      }
    }
    list.push_back(attention(DType::bf16, 5, 1100, 24, 128, false));
    add_rows(list);
    return list;
  }();
  return all;
}

Call invariant_call(const Problem& p, const Inputs& inputs) {
  Call call = make_call(p.op, p.attrs, inputs, p.name);
  call.device = cuda().device.get();
  call.rules.batch_invariant = true;
  return call;
}

void expect_same_alone(const Problem& p, const Kernel& kernel, const std::vector<Tensor>& all,
                       int64_t begin, int64_t end) {
  SCOPED_TRACE(fmt::format("{} of {}, samples {} to {}", kernel.name, p.name, begin, end));
  const Inputs part = part_of(p, begin, end);
  const Call call = invariant_call(p, part);
  const Verdict verdict = kernel.supports(call);
  ASSERT_TRUE(verdict.supported) << "not of fewer samples: " << verdict.reason;
  EXPECT_STREQ(select_kernel(call).kernel->name,
               select_kernel(invariant_call(p, p.inputs)).kernel->name)
      << "another choice for fewer samples";
  const auto alone = launch_on_device(kernel, call, part);
  for (size_t i = 0; i < all.size(); ++i) {
    const int64_t rows = all[i].dim(0) / p.samples;
    const Tensor among = rows > 0 ? all[i].rows(begin * rows, end * rows) : all[i];
    EXPECT_TRUE(equal_bytes(alone[i], among.clone())) << "output " << i;
  }
}

TEST(CudaRules, SamplesDoNotDependOnTheirNeighbours) {
  OCTAVO_NEEDS_CUDA();
  std::set<std::string> kernels;
  for (const Problem& p : problems()) {
    const Call call = invariant_call(p, p.inputs);
    const Selection selection = select_kernel(call);
    for (const Kernel& kernel : cuda_kernels(p.op)) {
      if (!kernel.supports(call).supported) continue;
      kernels.insert(kernel.name);
      const auto all = launch_on_device(kernel, call, p.inputs);
      expect_same_alone(p, kernel, all, 0, 1);
      expect_same_alone(p, kernel, all, p.samples / 2, p.samples / 2 + 1);
      expect_same_alone(p, kernel, all, 1, p.samples);
      expect_same_alone(p, kernel, all, p.samples / 3, p.samples / 3 + 3);
    }
    fmt::print("{:60} {}\n", p.name, selection.kernel->name);
  }
  fmt::print("{} kernels\n", kernels.size());
  EXPECT_GT(kernels.size(), 20u);
}

// The device, but with the architecture of an older one: kernels see what they would see there, and
// what they choose runs here.
class OlderDevice : public cuda::CudaDevice {
 public:
  explicit OlderDevice(int arch) : CudaDevice(0), older_(CudaDevice::info()) { older_.arch = arch; }
  const DeviceInfo& info() const override { return older_; }

 private:
  DeviceInfo older_;
};

std::string chosen(const Problem& p, Device& device, bool allow) {
  Call call = make_call(p.op, p.attrs, p.inputs, p.name);
  call.device = &device;
  call.rules.allow_fallback = allow;
  return select_kernel(call).kernel->name;
}

TEST(CudaRules, Fp8WithoutUnitsIsRefusedUnlessAllowed) {
  OCTAVO_NEEDS_CUDA();
  const Problem fp8 =
      codes({"e4m3/1x*/dynamic/f32", "e4m3/1x*/static/f32", 3, 40, 256, 96, "none", "", true});
  const Problem weights = codes({"", "e4m3/1x*/static/f32", 3, 40, 256, 96});
  OlderDevice ampere(80), ada(89);
  const Error error = error_of([&] { chosen(fp8, ampere, false); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_NE(std::string(error.what()).find("no FP8 units"), std::string::npos) << error.what();
  EXPECT_NE(std::string(error.what()).find("--allow-fallback"), std::string::npos);
  EXPECT_EQ(chosen(fp8, ampere, true), "quantized_linear_codes_as_bf16_cublaslt");
  EXPECT_NE(chosen(fp8, ada, false).find("e4m3"), std::string::npos);
  // Weights alone in FP8 need no units for it.
  EXPECT_NO_THROW(chosen(weights, ampere, false));
  // What was allowed computes the same product.
  Call call = make_call(fp8.op, fp8.attrs, fp8.inputs, fp8.name);
  call.device = &ampere;
  call.rules.allow_fallback = true;
  const auto fallback = launch_on_device(*select_kernel(call).kernel, call, fp8.inputs);
  call.device = cuda().device.get();
  const auto here = launch_on_device(*select_kernel(call).kernel, call, fp8.inputs);
  EXPECT_LT(rel_l2(fallback[0], here[0]), 0x1p-8);
}

// Every case of the CPU's that older architectures can run chooses a kernel there.
TEST(CudaRules, OlderArchitecturesChooseOrRefuseWithReasons) {
  OCTAVO_NEEDS_CUDA();
  for (const int arch : {80, 89, 100}) {
    OlderDevice device(arch);
    size_t refused = 0;
    for (const NamedCase& named : all_cases()) {
      const Case c = named.make();
      Call call = make_call(c.op, c.attrs, c.inputs, named.name);
      call.device = &device;
      try {
        const Selection selection = select_kernel(call);
        EXPECT_EQ(std::string(selection.kernel->name).find("sm90"), std::string::npos);
      } catch (const Error& error) {
        ++refused;
        EXPECT_EQ(arch, 80) << error.what();
        EXPECT_NE(std::string(error.what()).find("FP8"), std::string::npos) << error.what();
      }
    }
    fmt::print("compute capability {}.{}: {} of {} cases refused\n", arch / 10, arch % 10, refused,
               all_cases().size());
    EXPECT_EQ(refused > 0, arch == 80);
  }
}

}  // namespace
}  // namespace octavo::test
