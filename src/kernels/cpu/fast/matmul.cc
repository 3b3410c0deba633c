#include "kernels/cpu/fast/matmul.h"

#include <fmt/format.h>
#include <omp.h>

#include <array>
#include <dnnl.hpp>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "base/threads.h"
#include "kernels/cpu/fast/isa.h"
#include "kernels/cpu/fast/scratch.h"

namespace octavo::cpu {
namespace {

using dnnl::memory;

// Extent of m for which the packed layout is chosen; other extents use the same layout.
constexpr int64_t kLayoutRows = 64;

void stay_on_one_thread() { omp_set_num_threads(1); }

dnnl::engine& engine() {
  static dnnl::engine* instance = [] {
    apply_isa_cap();
    set_thread_start_hook(stay_on_one_thread);
    return new dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  thread_local const bool alone = (stay_on_one_thread(), true);
  (void)alone;
  return *instance;
}

dnnl::stream& stream() {
  thread_local dnnl::stream instance(engine());
  return instance;
}

memory::data_type type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return memory::data_type::f32;
    case DType::bf16:
      return memory::data_type::bf16;
    case DType::i8:
      return memory::data_type::s8;
    case DType::i32:
      return memory::data_type::s32;
    default:
      OCTAVO_FAIL(internal, "oneDNN is not used with {}", name(dtype));
  }
}

std::string text(const MatmulDesc& d) {
  return fmt::format("{} x {} -> {}, m {} n {} k {}, lda {} ldb {} {} ldc {}", name(d.a), name(d.b),
                     name(d.c), d.m, d.n, d.k, d.lda, d.ldb_k, d.ldb_n, d.ldc);
}

dnnl::matmul::primitive_desc describe(const MatmulDesc& d, const memory::desc& b) try {
  const memory::desc a({d.m, d.k}, type(d.a), memory::dims{d.lda, 1});
  const memory::desc c({d.m, d.n}, type(d.c), memory::dims{d.ldc, 1});
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (d.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attr.set_post_ops(sum);
  }
  return dnnl::matmul::primitive_desc(engine(), a, b, c, attr);
} catch (const dnnl::error& e) {
  OCTAVO_FAIL(internal, "oneDNN has no product {}: {}", text(d), e.what());
}

memory::desc packed_layout(DType a, DType b, DType c, int64_t n, int64_t k) {
  const MatmulDesc d{.a = a, .b = b, .c = c, .m = kLayoutRows, .n = n, .k = k, .lda = k, .ldc = n};
  return describe(d, memory::desc({k, n}, type(b), memory::format_tag::any)).weights_desc();
}

struct DescHash {
  size_t operator()(const MatmulDesc& d) const {
    size_t h = static_cast<size_t>(d.a) * 64 + static_cast<size_t>(d.b) * 2 + d.accumulate;
    for (int64_t v : {d.m, d.n, d.k, d.lda, d.ldc, d.ldb_k, d.ldb_n}) {
      h = (h ^ static_cast<size_t>(v)) * 0x9E3779B97F4A7C15u;
      h ^= h >> 29;
    }
    return h;
  }
};

}  // namespace

struct Matmul::Impl {
  size_t id;
  dnnl::matmul primitive;
  memory::desc a, b, c, scratch;
};

struct MatmulRegistry {
  std::shared_mutex mutex;
  std::unordered_map<MatmulDesc, std::unique_ptr<Matmul>, DescHash> products;

  const Matmul& get(const MatmulDesc& desc) {
    {
      std::shared_lock lock(mutex);
      if (auto it = products.find(desc); it != products.end()) return *it->second;
    }
    std::unique_lock lock(mutex);
    if (auto it = products.find(desc); it != products.end()) return *it->second;
    std::unique_ptr<Matmul> made(new Matmul(desc, products.size()));
    return *products.emplace(desc, std::move(made)).first->second;
  }
};

const Matmul& Matmul::get(const MatmulDesc& desc) {
  static MatmulRegistry* registry = new MatmulRegistry;
  return registry->get(desc);
}

Matmul::Matmul(const MatmulDesc& d, size_t id) {
  const bool packed = d.ldb_k == 0 && d.ldb_n == 0;
  const memory::desc b = packed ? packed_layout(d.a, d.b, d.c, d.n, d.k)
                                : memory::desc({d.k, d.n}, type(d.b), {d.ldb_k, d.ldb_n});
  const auto pd = describe(d, b);
  if (std::string_view(pd.impl_info_str()).starts_with("ref")) {
    log_info("oneDNN has only slow code for the product {}", text(d));
  }
  impl_ = new Impl{
      id, dnnl::matmul(pd), pd.src_desc(), pd.weights_desc(), pd.dst_desc(), pd.scratchpad_desc()};
}

namespace {

// oneDNN's handles of one thread for one product; only the addresses change from call to call.
struct Handles {
  memory a, b, c, scratch;
};

}  // namespace

void Matmul::run(const void* a, const void* b, void* c) const {
  thread_local std::vector<std::unique_ptr<Handles>> by_id;
  if (by_id.size() <= impl_->id) by_id.resize(impl_->id + 1);
  std::unique_ptr<Handles>& handles = by_id[impl_->id];
  if (!handles) {
    const auto make = [](const memory::desc& desc) { return memory(desc, engine(), nullptr); };
    handles.reset(
        new Handles{make(impl_->a), make(impl_->b), make(impl_->c), make(impl_->scratch)});
  }
  const auto set = [](memory& m, void* data) {
    dnnl_memory_set_data_handle(m.get(), data);
    return m.get();
  };
  const std::array<dnnl_exec_arg_t, 4> args{{
      {DNNL_ARG_SRC, set(handles->a, const_cast<void*>(a))},
      {DNNL_ARG_WEIGHTS, set(handles->b, const_cast<void*>(b))},
      {DNNL_ARG_DST, set(handles->c, c)},
      {DNNL_ARG_SCRATCHPAD,
       set(handles->scratch, scratch(Scratch::onednn, impl_->scratch.get_size()))},
  }};
  const auto status =
      dnnl_primitive_execute(impl_->primitive.get(), stream().get(), args.size(), args.data());
  OCTAVO_ASSERT(status == dnnl_success);
}

size_t packed_bytes(DType a, DType b, DType c, int64_t n, int64_t k) {
  return packed_layout(a, b, c, n, k).get_size();
}

void pack_weights(DType a, DType b, DType c, int64_t n, int64_t k, const void* w, int64_t ldw,
                  void* packed) {
  memory source(memory::desc({k, n}, type(b), memory::dims{1, ldw}), engine(),
                const_cast<void*>(w));
  memory target(packed_layout(a, b, c, n, k), engine(), packed);
  dnnl::reorder(source, target).execute(stream(), source, target);
  stream().wait();
}

}  // namespace octavo::cpu
