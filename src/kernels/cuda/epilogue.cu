// What follows a product, in one pass over its sums.
#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/out_quant.cuh"

namespace octavo::cuda {
namespace {

constexpr int kThreads = 256, kVector = 4;
constexpr int kRows = 4;  // of one thread at a time: loads in flight
constexpr int64_t kMostRowBlocks = 32768;

struct Sums {
  const void* data;
  bool integer;
  int64_t ld;
};

// Four outputs as they are stored, and whether a NaN was lost.
template <class T>
struct Plain {
  T* out;
  __device__ explicit Plain(const Epilogue& e) : out(static_cast<T*>(e.out)) {}
  __device__ void write(int64_t at, const float (&v)[kVector]) {
    Pack<T, kVector> p;
#pragma unroll
    for (int u = 0; u < kVector; ++u) p.v[u] = from_float<T>(v[u]);
    *reinterpret_cast<Pack<T, kVector>*>(out + at) = p;
  }
  __device__ bool met_nan() const { return false; }
};
template <DType D>
struct Codes {
  uint8_t* out;
  ScaledEncoder<D> encoder;
  __device__ explicit Codes(const Epilogue& e)
      : out(static_cast<uint8_t*>(e.out)), encoder(*e.out_scale) {}
  __device__ void write(int64_t at, const float (&v)[kVector]) {
    *reinterpret_cast<uint32_t*>(out + at) = encoder.encode4(v);
  }
  __device__ bool met_nan() const { return encoder.met_nan(); }
};

// What four columns share over all rows.
struct Columns {
  float scale[kVector], bias[kVector];
  __device__ Columns(const Epilogue& e, int64_t col) {
#pragma unroll
    for (int u = 0; u < kVector; ++u) {
      scale[u] = e.col_scale ? e.col_scale[(col + u) * e.col_scale_stride] : 1.0f;
      bias[u] = e.bias && !e.bias_by_row ? AnyFloat{e.bias, e.bias_type}[col + u] : 0.0f;
    }
  }
};

// Four of gate or residual as they lie in memory, one branch on their type a vector.
struct Sides {
  Pack<uint32_t, kVector> raw;
  __device__ void load(const void* from, DType type, int64_t at) {
    if (type == DType::f32) {
      raw = *reinterpret_cast<const Pack<uint32_t, kVector>*>(static_cast<const float*>(from) + at);
    } else {
      const auto half = *reinterpret_cast<const Pack<uint32_t, kVector / 2>*>(
          static_cast<const uint16_t*>(from) + at);
      raw.v[0] = half.v[0], raw.v[1] = half.v[1];
    }
  }
  __device__ void get(DType type, float (&v)[kVector]) const {
    if (type == DType::f32) {
#pragma unroll
      for (int u = 0; u < kVector; ++u) v[u] = __uint_as_float(raw.v[u]);
    } else if (type == DType::bf16) {
#pragma unroll
      for (int u = 0; u < kVector; u += 2) {
        v[u] = __uint_as_float(raw.v[u / 2] << 16);
        v[u + 1] = __uint_as_float(raw.v[u / 2] & 0xffff0000u);
      }
    } else {
#pragma unroll
      for (int u = 0; u < kVector; u += 2) {
        const float2 pair = __half22float2(reinterpret_cast<const __half2&>(raw.v[u / 2]));
        v[u] = pair.x, v[u + 1] = pair.y;
      }
    }
  }
};

// Called, not inlined into every vector of every kernel here: half of their time to compile.
__device__ __noinline__ float4 activated_four(Activation activation, float4 v) {
  return {activated(activation, v.x), activated(activation, v.y), activated(activation, v.z),
          activated(activation, v.w)};
}

__device__ void finish_four(const Epilogue& e, const Columns& columns, int64_t row, int64_t col,
                            const Sides& residual, float (&v)[kVector]) {
  const float row_scale = e.row_scale ? e.row_scale[row * e.row_scale_stride] : 1.0f;
  const float row_bias = e.bias && e.bias_by_row ? AnyFloat{e.bias, e.bias_type}[row] : 0.0f;
#pragma unroll
  for (int u = 0; u < kVector; ++u) {
    if (e.row_scale || e.col_scale) v[u] = v[u] * (row_scale * columns.scale[u]);
    if (e.bias) v[u] = v[u] + (e.bias_by_row ? row_bias : columns.bias[u]);
  }
  if (e.activation != Activation::none) {
    const float4 a = activated_four(e.activation, {v[0], v[1], v[2], v[3]});
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
  }
  float side[kVector];
  if (e.gate) {
    Sides gate;
    gate.load(e.gate, e.side, row / e.rows_per_sample * e.ld + col);
    gate.get(e.side, side);
#pragma unroll
    for (int u = 0; u < kVector; ++u) v[u] = side[u] * v[u];
  }
  if (e.residual) {
    residual.get(e.side, side);
#pragma unroll
    for (int u = 0; u < kVector; ++u) v[u] = side[u] + v[u];
  }
}

// blockDim.x columns of four, blockDim.y rows of kRows.
template <class Writer>
__global__ void __launch_bounds__(kThreads)
    finish_vectors(const Epilogue e, const Tile tile, const Sums sums) {
  const int64_t c = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kVector;
  if (c >= tile.cols) return;
  const int64_t col = tile.col + c;
  const Columns columns(e, col);
  Writer writer(e);
  const int64_t step = int64_t{gridDim.y} * blockDim.y * kRows;
  for (int64_t r = (int64_t{blockIdx.y} * blockDim.y + threadIdx.y) * kRows; r < tile.rows;
       r += step) {
    Pack<uint32_t, kVector> acc[kRows];
    Sides residual[kRows];
#pragma unroll
    for (int u = 0; u < kRows; ++u) {
      if (r + u >= tile.rows) break;
      const auto* from = static_cast<const uint32_t*>(sums.data) + (r + u) * sums.ld + c;
      acc[u] = *reinterpret_cast<const Pack<uint32_t, kVector>*>(from);
      if (e.residual) residual[u].load(e.residual, e.side, (tile.row + r + u) * e.ld + col);
    }
#pragma unroll
    for (int u = 0; u < kRows; ++u) {
      if (r + u >= tile.rows) break;
      float v[kVector];
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        v[i] = sums.integer ? static_cast<float>(static_cast<int32_t>(acc[u].v[i]))
                            : __uint_as_float(acc[u].v[i]);
      }
      const int64_t row = tile.row + r + u;
      finish_four(e, columns, row, col, residual[u], v);
      writer.write(row * e.ld + col, v);
    }
  }
  if (writer.met_nan()) *e.not_finite = 1;
}

__global__ void finish_elements(const Epilogue e, const Tile tile, const Sums sums) {
  const int64_t c = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (c >= tile.cols) return;
  for (int64_t r = blockIdx.y; r < tile.rows; r += gridDim.y) {
    const int64_t from = r * sums.ld + c, row = tile.row + r, col = tile.col + c;
    const float acc = sums.integer
                          ? static_cast<float>(static_cast<const int32_t*>(sums.data)[from])
                          : static_cast<const float*>(sums.data)[from];
    if (!store(e, row, col, finished(e, acc, row, col))) *e.not_finite = 1;
  }
}

bool is_aligned(const void* p, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(bytes) == 0;
}

bool takes_vectors(const Epilogue& e, const Tile& t, const Sums& sums) {
  const int64_t side = kVector * info(e.side).bits / 8, out = kVector * info(e.out_type).bits / 8;
  return e.ld % kVector == 0 && t.col % kVector == 0 && t.cols % kVector == 0 &&
         sums.ld % kVector == 0 && is_aligned(sums.data, 16) && is_aligned(e.gate, side) &&
         is_aligned(e.residual, side) && is_aligned(e.out, out);
}

template <class Writer>
void launch_vectors(const Call& call, const Epilogue& e, const Tile& tile, const Sums& sums) {
  const int64_t across = tile.cols / kVector;
  unsigned x = 32;
  while (x < kThreads && x < across) x *= 2;
  const dim3 block(x, kThreads / x);
  const int64_t rows = int64_t{block.y} * kRows;
  const dim3 grid(static_cast<unsigned>((across + x - 1) / x),
                  static_cast<unsigned>(std::min((tile.rows + rows - 1) / rows, kMostRowBlocks)));
  launch(call, finish_vectors<Writer>, grid, block, 0, e, tile, sums);
}

void launch_to_type(const Call& call, const Epilogue& e, const Tile& tile, const Sums& sums) {
  if (is_compute_type(e.out_type)) {
    return with_compute_type(e.out_type, [&](auto out) {
      launch_vectors<Plain<typename decltype(out)::type>>(call, e, tile, sums);
    });
  }
  with_byte_format(e.out_type, [&](auto format) {
    launch_vectors<Codes<decltype(format)::value>>(call, e, tile, sums);
  });
}

QuantSpec out_spec(const Call& call) { return QuantSpec::parse(call.attrs.get_string("out_spec")); }

// What the epilogue writes tile by tile: codes that need nothing but their own value.
bool writes_codes(const QuantTarget& target) {
  return target.mode == QuantMode::given && target.is_fused();
}

QuantTarget target_of(const Call& call, const Buffers* buffers, size_t scale_input, void* largest) {
  return quant_target(call, buffers, out_spec(call), false, scale_input, largest);
}

float* rows_of(void* staged) {
  return reinterpret_cast<float*>(static_cast<std::byte*>(staged) + kLargestBytes);
}

}  // namespace

void finish(const Call& call, const Epilogue& e, const Tile& tile, DType acc_type, const void* acc,
            int64_t acc_ld) {
  if (tile.rows == 0 || tile.cols == 0) return;
  const Sums sums{acc, acc_type == DType::i32, acc_ld};
  if (!takes_vectors(e, tile, sums)) {
    const dim3 grid(static_cast<unsigned>((tile.cols + kThreads - 1) / kThreads),
                    static_cast<unsigned>(std::min(tile.rows, kMostRowBlocks)));
    return launch(call, finish_elements, grid, kThreads, 0, e, tile, sums);
  }
  launch_to_type(call, e, tile, sums);
}

Verdict supports_output(const Call& call, size_t scale_input) {
  return supports_out_quant(call, scale_input);
}

size_t staged_bytes(const Call& call) {
  if (!call.attrs.has("out_spec")) return 0;
  const QuantTarget target = target_of(call, nullptr, 0, nullptr);
  if (writes_codes(target)) return 0;
  return kLargestBytes + static_cast<size_t>(target.rows * target.cols) * sizeof(float);
}

void begin_output(const Call& call, const Buffers& buffers, size_t scale_input, void* staged,
                  Epilogue& e) {
  e.out = buffers.outputs[0];
  e.out_type = call.outputs[0].dtype;
  e.not_finite = not_finite_flag(call);
  if (!call.attrs.has("out_spec")) return;
  const QuantTarget target = target_of(call, &buffers, scale_input, staged);
  if (writes_codes(target)) {
    e.out_scale = target.given;
  } else {
    e.out = rows_of(staged);
    e.out_type = DType::f32;
  }
}

void end_output(const Call& call, const Buffers& buffers, size_t scale_input, void* staged) {
  if (!call.attrs.has("out_spec")) return;
  const QuantTarget target = target_of(call, &buffers, scale_input, staged);
  if (writes_codes(target)) {
    check(cudaMemcpyAsync(target.scale, target.given, sizeof(float), cudaMemcpyDeviceToDevice,
                          stream_of(call)),
          call.name.c_str());
  } else {
    quantize_matrix(call, target, rows_of(staged), DType::f32);
  }
}

}  // namespace octavo::cuda
