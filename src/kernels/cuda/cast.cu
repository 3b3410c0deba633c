// Values rounded once to the nearest of the new type, ties to even; integers saturate. What the
// host's convert_row gives, bit for bit.
#include <type_traits>

#include "kernels/cuda/map.cuh"
#include "kernels/cuda/table.h"

namespace octavo::cuda {
namespace {

struct Bool {
  uint8_t code;
};

template <class T>
constexpr bool kWide = sizeof(T) == 8 || std::is_same_v<T, int32_t>;
template <class T>
constexpr bool kInteger = std::is_integral_v<T> || std::is_same_v<T, Bool>;

// --- elements as numbers: wide types as themselves, the others as f32, exactly

template <class T>
__device__ T number(T v) {
  return v;
}
__device__ float number(uint8_t v) { return v; }
__device__ float number(Bool v) { return v.code != 0; }
__device__ float number(__nv_bfloat16 v) { return __bfloat162float(v); }
// The hardware's NaN loses its payload, the host's does not.
__device__ float number(__half v) {
  const uint32_t bits = __half_as_ushort(v), magnitude = bits & 0x7fff;
  if (magnitude <= 0x7c00) return __half2float(v);
  return __uint_as_float((bits & 0x8000) << 16 | 0x7f800000 | (magnitude & 0x3ff) << 13);
}

// f32 with a last bit that remembers whether anything was cut off: rounding that to a format of
// fewer bits gives what rounding the exact value would ("round to odd").
__device__ float round_to_odd(double v) {
  const float cut = __double2float_rz(v);
  return cut == v || v != v ? cut : __uint_as_float(__float_as_uint(cut) | 1);
}
__device__ float round_to_odd(int64_t v) {
  const float cut = __ll2float_rz(v);
  return __float2ll_rz(cut) == v ? cut : __uint_as_float(__float_as_uint(cut) | 1);
}
__device__ float round_to_odd(int32_t v) { return round_to_odd(static_cast<double>(v)); }
__device__ float round_to_odd(float v) { return v; }

// --- numbers as elements; those of a type without NaN are not NaN

template <class T, class N>
__device__ void round_to(N v, T& out) {
  out = static_cast<T>(v);
}
__device__ void round_to(double v, float& out) {
  const auto bits = static_cast<uint64_t>(__double_as_longlong(v));
  const auto sign = static_cast<uint32_t>(bits >> 63 << 31);
  const auto payload = static_cast<uint32_t>(bits >> 29) & 0x3fffff;
  out = v == v ? __double2float_rn(v) : __uint_as_float(sign | 0x7fc00000 | payload);
}
__device__ void round_to(float v, double& out) {
  const uint64_t bits = __float_as_uint(v);
  const uint64_t nan = bits >> 31 << 63 | uint64_t{0x7ff8} << 48 | (bits & 0x3fffff) << 29;
  out = v == v ? static_cast<double>(v) : __longlong_as_double(static_cast<int64_t>(nan));
}
template <class N>
__device__ void round_to(N number, __half& out) {
  const float v = round_to_odd(number);
  const uint32_t sign = __float_as_uint(v) >> 16 & 0x8000;
  out = v == v ? __float2half_rn(v) : __ushort_as_half(static_cast<uint16_t>(sign | 0x7e00));
}
template <class N>
__device__ void round_to(N number, __nv_bfloat16& out) {
  const float v = round_to_odd(number);
  const uint32_t sign = __float_as_uint(v) >> 16 & 0x8000;
  out =
      v == v ? __float2bfloat16_rn(v) : __ushort_as_bfloat16(static_cast<uint16_t>(sign | 0x7fc0));
}
template <class N>
__device__ void round_to(N v, Bool& out) {
  out = {v != 0};
}
__device__ void round_to(float v, int32_t& out) { out = __float2int_rn(v); }
__device__ void round_to(double v, int32_t& out) { out = __double2int_rn(v); }
__device__ void round_to(int64_t v, int32_t& out) {
  out = static_cast<int32_t>(v < INT32_MIN ? INT32_MIN : v > INT32_MAX ? INT32_MAX : v);
}
__device__ void round_to(float v, int64_t& out) { out = __float2ll_rn(v); }
__device__ void round_to(double v, int64_t& out) { out = __double2ll_rn(v); }

template <class To, class From>
struct Convert {
  uint32_t* not_finite;
  __device__ To operator()(From element) const {
    auto v = number(element);
    if constexpr (kInteger<To> && !kInteger<From>) {
      if (v != v) *not_finite = 1, v = 0;
    }
    To out;
    round_to(v, out);
    return out;
  }
};

template <class Body>
bool with_cast_type(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::f64:
      return body(Type<double>{}), true;
    case DType::f32:
      return body(Type<float>{}), true;
    case DType::f16:
      return body(Type<__half>{}), true;
    case DType::bf16:
      return body(Type<__nv_bfloat16>{}), true;
    case DType::i64:
      return body(Type<int64_t>{}), true;
    case DType::i32:
      return body(Type<int32_t>{}), true;
    case DType::boolean:
      return body(Type<Bool>{}), true;
    default:
      return false;
  }
}

Verdict supports(const Call& call) {
  const DType from = dtype_of(call, 0), to = call.outputs[0].dtype;
  const auto ignore = [](auto) {};
  if (with_cast_type(to, ignore) && (from == DType::u8 || with_cast_type(from, ignore))) {
    return Verdict::yes();
  }
  return Verdict::no("no cast of " + std::string(name(from)) + " to " + std::string(name(to)));
}

void launch_cast(const Call& call, const KernelState*, const Buffers& buffers) {
  with_cast_type(call.outputs[0].dtype, [&](auto to) {
    using To = typename decltype(to)::type;
    const auto run = [&](auto from) {
      using From = typename decltype(from)::type;
      launch_map<To, From>(call, buffers.inputs[0], buffers.outputs[0],
                           element_count(call.outputs[0].shape),
                           Convert<To, From>{not_finite_flag(call)});
    };
    if (dtype_of(call, 0) == DType::u8) return run(Type<uint8_t>{});
    with_cast_type(dtype_of(call, 0), run);
  });
}

}  // namespace

const Kernel kCast = {
    .name = "cast_cuda", .op = Op::cast, .supports = supports, .launch = launch_cast};

}  // namespace octavo::cuda
