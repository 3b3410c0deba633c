// The product of anything: operands of any type, extent and address, sums in double in order of k.
// Slow; what the other products are tried against on the device, and the last choice.
#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/operand.cuh"

namespace octavo::cuda {
namespace {

constexpr int kSide = 16;

template <class B>
__global__ void __launch_bounds__(kSide* kSide)
    product_kernel(MatrixElements a, B b, int64_t m, int64_t n, int64_t k, int64_t blocks_across,
                   Epilogue e) {
  __shared__ float as[kSide][kSide + 1], bs[kSide][kSide + 1];
  const int64_t block_row = blockIdx.x / blocks_across;
  const int64_t row0 = block_row * kSide, col0 = (blockIdx.x - block_row * blocks_across) * kSide;
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  double sum = 0;
  for (int64_t k0 = 0; k0 < k; k0 += kSide) {
    const bool inside = k0 + x < k;
    as[y][x] = inside && row0 + y < m ? a(row0 + y, k0 + x) : 0.0f;
    bs[y][x] = inside && col0 + y < n ? b(col0 + y, k0 + x) : 0.0f;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kSide; ++i) {
      sum = fma(static_cast<double>(as[y][i]), static_cast<double>(bs[x][i]), sum);
    }
    __syncthreads();
  }
  const int64_t row = row0 + y, col = col0 + x;
  if (row >= m || col >= n) return;
  if (!store(e, row, col, finished(e, static_cast<float>(sum), row, col))) *e.not_finite = 1;
}

template <class B>
void launch_product(const Call& call, const Matrix& a, const B& b, int64_t n, const Epilogue& e) {
  const int64_t across = (n + kSide - 1) / kSide, down = (a.rows + kSide - 1) / kSide;
  if (across * down > INT32_MAX) fail(call, "the product has too many blocks");
  launch(call, product_kernel<B>, dim3(static_cast<unsigned>(across * down)), dim3(kSide, kSide), 0,
         MatrixElements(a), b, a.rows, n, a.cols, across, e);
}

}  // namespace

void multiply_simt(const Call& call, const Matrix& a, const Matrix& b, const Epilogue& e) {
  launch_product(call, a, MatrixElements(b), b.rows, e);
}

void multiply_simt(const Call& call, const Matrix& a, const Patches& b, const Epilogue& e) {
  launch_product(call, a, PatchElements(b), b.pixels(), e);
}

}  // namespace octavo::cuda
