// A sample's output [filters, pixels] is filters[filters, taps] times patches[pixels, taps], where
// a patch is what one output pixel sees (im2col). Patches go to workspace in tiles of pixels; 1x1
// convolutions of stride 1 read x itself. Sums are finished by the epilogue tile by tile. Samples
// are one launch after the other, so the bits of one do not depend on the others.
#include "kernels/cuda/conv_product.h"

#include <fmt/format.h>

#include "base/check.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/libraries.h"

namespace octavo::cuda {
namespace {

constexpr int64_t kSumBytes = 32 << 20;    // of a tile's sums
constexpr int64_t kPatchBytes = 32 << 20;  // of a tile's patches

struct Plan {
  Form form = Form::simt;
  Patches patches;  // of one sample, without its data
  int64_t samples = 0, filters = 0;
  Scaling x, w;

  bool unpack_w = false, unpack_x = false;
  int64_t taps = 0, ldw = 0;  // of the products
  int64_t tile = 0, ld_tile = 0;

  // Workspace.
  Widened bias, w_scale;
  InPlace x_place, w_place;
  size_t x_at = 0, w_at = 0, sums_at = 0, library_at = 0, bytes = 0;
};

int64_t padded(Form form, int64_t n) { return is_coded(form) ? round_up(n, kCodeMultiple) : n; }
int64_t product_rows(const Plan& p) {
  return p.form == Form::i8 ? std::max(p.filters, kLeastIntegerRows) : p.filters;
}
int64_t element_bytes(const Plan& p) { return info(type_of(p.form)).bits / 8; }

Plan begin_plan(const Call& call, const ProductInputs& in, Form form) {
  const Shape &x = shape_of(call, in.x), &w = shape_of(call, in.w), &y = call.outputs[0].shape;
  const auto& pads = call.attrs.get_ints("pads");
  Plan p;
  p.form = form;
  p.samples = x[0];
  p.filters = w[0];
  p.patches = {.dtype = dtype_of(call, in.x),
               .channels = x[1],
               .height = x[2],
               .width = x[3],
               .kernel_h = w[2],
               .kernel_w = w[3],
               .stride = call.attrs.get_int("stride"),
               .top = pads[0],
               .left = pads[1],
               .out_height = y[2],
               .out_width = y[3]};
  p.x = scaling_of(spec_of(call, "x_spec"), false, x[0], x[1] * x[2] * x[3]);
  p.w = scaling_of(spec_of(call, "w_spec"), has(call, in.w_zp), p.filters, p.patches.taps());
  return p;
}

// x is the matrix of patches, taps by pixels.
bool is_pointwise(const Plan& p) {
  const Patches& x = p.patches;
  return x.kernel_h == 1 && x.kernel_w == 1 && x.stride == 1 && x.top == 0 && x.left == 0 &&
         x.out_height == x.height && x.out_width == x.width;
}

void choose_operands(const Call& call, const ProductInputs& in, Plan& p) {
  const DType type = type_of(p.form);
  const int64_t taps = p.patches.taps(), pixels = p.patches.pixels(), bytes = element_bytes(p);
  p.taps = padded(p.form, taps);
  p.unpack_w = dtype_of(call, in.w) != type || p.taps != taps || p.w.by_value ||
               product_rows(p) != p.filters;
  p.ldw = p.unpack_w ? round_up(p.taps, kCodeMultiple) : taps;
  // Every line of pixels of every sample has to begin at an aligned address.
  const bool aligned = pixels * bytes % static_cast<int64_t>(kProductAlignment) == 0;
  p.unpack_x = !is_pointwise(p) || is_coded(p.form) || dtype_of(call, in.x) != type || !aligned;
}

void choose_tiles(Plan& p) {
  const int64_t pixels = p.patches.pixels();
  const auto fit = [](int64_t bytes, int64_t pixel_bytes) {
    return std::max<int64_t>(128, bytes / pixel_bytes / 128 * 128);
  };
  int64_t most = fit(kSumBytes, product_rows(p) * 4);
  if (p.unpack_x) most = std::min(most, fit(kPatchBytes, p.taps * element_bytes(p)));
  p.tile = even_tile(pixels, most);
  p.ld_tile = round_up(p.tile, kCodeMultiple);
}

Product product_of(const Plan& p, int64_t pixels, bool add) {
  Product d;
  d.ab = type_of(p.form);
  d.d = sums_of(p.form);
  d.m = product_rows(p);
  d.n = padded(p.form, pixels);
  d.k = p.taps;
  d.lda = p.ldw;
  d.b_is_kn = !is_coded(p.form);
  d.ldb = is_coded(p.form) ? p.taps : p.unpack_x ? p.ld_tile : p.patches.pixels();
  d.ldd = p.ld_tile;
  d.add = add;
  return d;
}

std::optional<size_t> find_products(const Call& call, const Plan& p, std::string* reason) {
  size_t bytes = 0;
  for (const int64_t pixels : {p.tile, p.patches.pixels() % p.tile}) {
    for (int term = 0; pixels > 0 && term < std::min(2, terms_of(p.form)); ++term) {
      const auto* found = device_of(call).libraries().find(product_of(p, pixels, term > 0), reason);
      if (!found) return std::nullopt;
      bytes = std::max(bytes, found->workspace_bytes());
    }
  }
  return bytes;
}

size_t operand_bytes(const Call& call, size_t input) {
  return static_cast<size_t>(element_count(shape_of(call, input))) *
         static_cast<size_t>(info(dtype_of(call, input)).bits) / 8;
}

void lay_out(const Call& call, const ProductInputs& in, Plan& p, size_t library_bytes) {
  Layout layout;
  p.bias = reserve_widened(layout, call, in.bias, false);
  p.w_scale = reserve_widened(layout, call, in.w_scale, true);
  if (p.form != Form::simt) {
    const auto bytes = static_cast<size_t>(element_bytes(p));
    const auto terms = static_cast<size_t>(terms_of(p.form));
    if (p.unpack_w)
      p.w_at = layout.take(static_cast<size_t>(product_rows(p) * p.ldw) * bytes * terms);
    if (p.unpack_x) p.x_at = layout.take(static_cast<size_t>(p.taps * p.ld_tile) * bytes);
    p.sums_at = layout.take(static_cast<size_t>(product_rows(p) * p.ld_tile) * 4);
    if (!p.unpack_w) p.w_place.bytes = operand_bytes(call, in.w);
    if (!p.unpack_x) p.x_place.bytes = operand_bytes(call, in.x);
    reserve_copies(layout, {&p.w_place, &p.x_place});
    p.library_at = layout.take(library_bytes);
  }
  p.bytes = layout.bytes();
}

std::optional<Plan> make_plan(const Call& call, const ProductInputs& in, Form form,
                              std::string* reason) {
  Plan p = begin_plan(call, in, form);
  size_t library_bytes = 0;
  if (form != Form::simt) {
    choose_operands(call, in, p);
    choose_tiles(p);
    const auto bytes = find_products(call, p, reason);
    if (!bytes) return std::nullopt;
    library_bytes = *bytes;
  }
  lay_out(call, in, p, library_bytes);
  return p;
}

// One launch of a plan.
class Run {
 public:
  Run(const Call& call, const ProductInputs& in, const Buffers& buffers, const Plan& plan)
      : call_(call), in_(in), buffers_(buffers), p_(plan) {
    const void* w_scale = widened(call, buffers, p_.w_scale, in.w_scale);
    e_.ld = p_.patches.pixels();
    if (p_.w.is_quantized && !p_.w.by_value) {
      e_.row_scale = static_cast<const float*>(w_scale);
      e_.row_scale_stride = p_.w.row_stride;
    }
    e_.bias = widened(call, buffers, p_.bias, in.bias);
    if (e_.bias) e_.bias_type = p_.bias.used ? DType::f32 : dtype_of(call, in.bias);
    e_.bias_by_row = true;
    e_.side = side_type(call, in);
    e_.out_type = call.outputs[0].dtype;
    e_.not_finite = not_finite_flag(call);
    w_ = {address(call, buffers, in.w), dtype_of(call, in.w), p_.filters, p_.patches.taps(),
          grid_of(p_.w, w_scale, address(call, buffers, in.w_zp))};
  }

  void run() {
    if (p_.samples == 0 || p_.filters == 0 || p_.patches.pixels() == 0) return;
    const void* x = address(call_, buffers_, in_.x);
    const bool simt =
        p_.form == Form::simt || !is_reachable(p_.x_place, x) || !is_reachable(p_.w_place, w_.data);
    const void* filters = nullptr;
    if (!simt) {
      filters = p_.unpack_w ? unpacked_filters() : in_place(call_, buffers_, p_.w_place, w_.data);
      x = in_place(call_, buffers_, p_.x_place, x);
    }
    for (int64_t sample = 0; sample < p_.samples; ++sample) {
      const Patches patches = begin_sample(sample, x);
      if (simt) {
        multiply_simt(call_, w_, patches, e_);
      } else {
        run_tiles(filters, patches);
      }
    }
  }

 private:
  const void* unpacked_filters() const {
    const Unpacked to{.data = at(buffers_, p_.w_at),
                      .dtype = type_of(p_.form),
                      .rows = product_rows(p_),
                      .cols = w_.cols,
                      .ld = p_.ldw,
                      .terms = terms_of(p_.form),
                      .plane = product_rows(p_) * p_.ldw};
    unpack(call_, w_, 0, to);
    return to.data;
  }

  // Points the epilogue at a sample and returns its patches.
  Patches begin_sample(int64_t sample, const void* x) {
    Patches patches = p_.patches;
    const int64_t line = row_bytes(patches.dtype, patches.width);
    patches.data =
        static_cast<const std::byte*>(x) + sample * patches.channels * patches.height * line;
    const int64_t outputs = p_.filters * e_.ld;
    const auto offset = [&](DType dtype) { return sample * outputs * (info(dtype).bits / 8); };
    e_.out = static_cast<std::byte*>(buffers_.outputs[0]) + offset(e_.out_type);
    if (has(call_, in_.residual)) {
      e_.residual = static_cast<const std::byte*>(buffers_.inputs[in_.residual]) + offset(e_.side);
    }
    if (p_.x.is_quantized) {
      const auto* scale = static_cast<const float*>(buffers_.inputs[in_.x_scale]);
      e_.col_scale = scale + sample * p_.x.row_stride;
    }
    return patches;
  }

  // What the products read for pixels [pixel, pixel + pixels).
  const void* patches_of(const Patches& x, int64_t pixel, int64_t pixels) const {
    if (!p_.unpack_x) return static_cast<const std::byte*>(x.data) + pixel * element_bytes(p_);
    const bool by_tap = !is_coded(p_.form);
    const Unpacked to{.data = at(buffers_, p_.x_at),
                      .dtype = type_of(p_.form),
                      .rows = by_tap ? p_.taps : padded(p_.form, pixels),
                      .cols = by_tap ? pixels : x.taps(),
                      .ld = by_tap ? p_.ld_tile : p_.taps};
    unpack_patches(call_, x, pixel, pixels, by_tap, to);
    return to.data;
  }

  void run_tiles(const void* filters, const Patches& patches) const {
    for (int64_t pixel = 0; pixel < patches.pixels(); pixel += p_.tile) {
      const int64_t pixels = std::min(p_.tile, patches.pixels() - pixel);
      ProductOperands o;
      o.a = filters;
      o.b = patches_of(patches, pixel, pixels);
      o.d = at(buffers_, p_.sums_at);
      for (int term = 0; term < terms_of(p_.form); ++term) {
        const Product product = product_of(p_, pixels, term > 0);
        device_of(call_).libraries().get(product).run(stream_of(call_), o,
                                                      at(buffers_, p_.library_at));
        o.a = static_cast<const std::byte*>(o.a) + product_rows(p_) * p_.ldw * element_bytes(p_);
        o.c = o.d;
      }
      finish(call_, e_, {0, p_.filters, pixel, pixels}, sums_of(p_.form), o.d, p_.ld_tile);
    }
  }

  const Call& call_;
  const ProductInputs& in_;
  const Buffers& buffers_;
  const Plan& p_;
  Epilogue e_;
  Matrix w_;
};

}  // namespace

Verdict supports_conv(const Call& call, const ProductInputs& in, Form form) {
  const Verdict operands = supports_epilogue(call, in);
  if (!operands.supported) return operands;
  if (!is_compute_type(call.outputs[0].dtype)) {
    return Verdict::no(fmt::format("the output is {}", name(call.outputs[0].dtype)));
  }
  const Plan p = begin_plan(call, in, form);
  if (p.x.by_value) return Verdict::no("x has several scales within a sample");
  const Verdict verdict = supports_form(call, in, form, p.x, p.w, p.patches.taps());
  if (!verdict.supported || form == Form::simt) return verdict;
  if (p.samples == 0 || p.filters == 0 || p.patches.pixels() == 0 || p.patches.taps() == 0) {
    return Verdict::no("there is nothing to multiply");
  }
  std::string reason;
  return make_plan(call, in, form, &reason) ? Verdict::yes() : Verdict::no(reason);
}

size_t conv_workspace(const Call& call, const ProductInputs& in, Form form) {
  std::string reason;
  const auto plan = make_plan(call, in, form, &reason);
  OCTAVO_CHECK_CODE(internal, plan.has_value(), "[{}] {}", call.name, reason);
  return plan->bytes;
}

void launch_conv(const Call& call, const ProductInputs& in, Form form, const Buffers& buffers) {
  std::string reason;
  const auto plan = make_plan(call, in, form, &reason);
  OCTAVO_CHECK_CODE(internal, plan.has_value(), "[{}] {}", call.name, reason);
  Run(call, in, buffers, *plan).run();
}

}  // namespace octavo::cuda
