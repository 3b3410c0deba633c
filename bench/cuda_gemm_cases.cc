#include "cuda_gemm_cases.h"

namespace octavo::bench {

using namespace cuda::sm90;

std::string text(Element element) {
  constexpr const char* kNames[] = {"bf16", "e4m3", "i8"};
  return kNames[static_cast<int>(element)];
}
std::string text(const Variant& v) {
  return std::to_string(v.tile_m) + "x" + std::to_string(v.tile_n) + "." + std::to_string(v.down) +
         "x" + std::to_string(v.across) + "trc"[static_cast<int>(v.share)] +
         (v.accurate ? "a" : "");
}
std::string text(const Instance& i) {
  constexpr const char* kOutputs[] = {"bf16", "f32", "codes"};
  return text(i.element) + " -> " + kOutputs[static_cast<int>(i.output)] + " " + text(i.variant);
}

std::vector<Instance> all_instances() {
  std::vector<Instance> list;
  for (const auto part : {gemm_bf16_instances(), gemm_e4m3_instances(), gemm_e4m3_codes_instances(),
                          gemm_i8_instances(), gemm_i8_codes_instances()}) {
    list.insert(list.end(), part.begin(), part.end());
  }
  return list;
}

int bytes_of(Element e) { return e == Element::bf16 ? 2 : 1; }
int processors() {
  static const int count = [] {
    int n = 0;
    must(cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, 0), "attribute");
    return n;
  }();
  return count;
}

Arena::Arena() {
  x = device_alloc(kOperand), w = device_alloc(2 * kOperand);
  y = device_alloc(2 * kOperand), residual = device_alloc(2 * kOperand);
  gate = device_alloc(kRows * 64);
  for (float** p : {&x_scale, &w_scale, &bias, &out_scale, &out_scale_copy}) {
    *p = static_cast<float*>(device_alloc(kRows * 4));
  }
  fill_random_f32(x_scale, kRows, 1, 0.5e-2f, 1e-2f);
  fill_random_f32(w_scale, kRows, 2, 0.5e-3f, 1e-3f);
  fill_random_f32(bias, kRows, 3, -2, 2);
  fill_random_f32(out_scale, 16, 4, 0.011f, 0.012f);
}
void Arena::fill(Element element) {
  fill_random(element, x, kOperand / bytes_of(element), 5);
  fill_random(element, w, kOperand / bytes_of(element), 6);
}
void Arena::fill_sides(Output output) {
  if (output == Output::f32) {
    fill_random_f32(static_cast<float*>(residual), kOperand / 4, 7, -3, 3);
    fill_random_f32(static_cast<float*>(gate), kRows * 16, 8, -1, 1);
  } else {
    fill_random(Element::bf16, residual, kOperand / 2, 7);
    fill_random(Element::bf16, gate, kRows * 32, 8);
  }
}

Gemm make_gemm(const Arena& a, Element element, Output output, Extents s, Options o) {
  Gemm g = {element, output, s.m, s.n, s.k, a.x, a.w, a.y, {}};
  Epilogue& e = g.epilogue;
  if (element != Element::bf16) {
    e.x_scale = a.x_scale, e.w_scale = a.w_scale, e.x_by_row = o.x_by_row, e.w_by_row = o.w_by_row;
  }
  if (o.bias) e.bias = a.bias;
  e.activation = o.activation;
  if (output == Output::codes) {
    e.out_scale = a.out_scale, e.out_scale_copy = a.out_scale_copy;
  } else {
    if (o.gate) e.gate = a.gate, e.rows_per_sample = static_cast<int>(s.m % 2 == 0 ? s.m / 2 : s.m);
    if (o.residual) e.residual = a.residual;
  }
  return g;
}

std::vector<Gemm> make_group(const Arena& arena, Element element, Output output,
                             const std::vector<Extents>& extents, Options options) {
  const auto moved = [](auto* p, int64_t bytes) {
    using Pointer = decltype(p);
    return reinterpret_cast<Pointer>(reinterpret_cast<uintptr_t>(p) +
                                     static_cast<uintptr_t>(bytes));
  };
  const int64_t out = output == Output::f32 ? 4 : output == Output::bf16 ? 2 : 1;
  std::vector<Gemm> group;
  int64_t x = 0, w = 0, y = 0;
  for (const Extents& s : extents) {
    Gemm g = make_gemm(arena, element, output, s, options);
    const auto i = static_cast<int64_t>(group.size());
    g.x = moved(g.x, x), g.w = moved(g.w, w), g.y = moved(g.y, y);
    Epilogue& e = g.epilogue;
    if (e.residual) e.residual = moved(e.residual, y);
    if (e.gate) e.gate = moved(e.gate, 64 * i);
    if (e.bias) e.bias = moved(e.bias, 64 * i);
    if (e.x_scale) e.x_scale += i, e.w_scale += i;
    if (e.out_scale) e.out_scale += i, e.out_scale_copy += i;
    const auto round = [](int64_t bytes) { return (bytes + 255) / 256 * 256; };
    x += round(s.m * s.k * bytes_of(element)), w += round(s.n * s.k * bytes_of(element));
    y += round(s.m * s.n * out);
    group.push_back(g);
  }
  return group;
}

const std::vector<StepProducts>& step_products() {
  const Options plain = {Activation::none, true, false, true};
  const Options gelu = {Activation::gelu_tanh, true, false, true};
  const Options out = {Activation::none, true, false, true, true, true};
  const Extents image = {4096, 3072, 3072}, text = {512, 3072, 3072}, all = {4608, 3072, 3072};
  static const std::vector<StepProducts> products = {
      {"single q k v", 38, {all, all, all}, plain},
      {"single up", 38, {{4608, 12288, 3072}}, gelu, true},
      {"single out", 38, {{4608, 3072, 15360}}, out},
      {"double q k v", 19, {image, image, image, text, text, text}, plain},
      {"double out", 19, {image, text}, out},
      {"double up", 19, {{4096, 12288, 3072}, {512, 12288, 3072}}, gelu, true},
      {"double down", 19, {{4096, 3072, 12288}, {512, 3072, 12288}}, out}};
  return products;
}

}  // namespace octavo::bench
