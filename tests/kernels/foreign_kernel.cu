// Built for an architecture that no device of ours has (tests/kernels/CMakeLists.txt).
#include <cuda_runtime.h>

namespace octavo::test {
namespace {
__global__ void nothing() {}
}  // namespace

const void* foreign_kernel() { return reinterpret_cast<const void*>(&nothing); }
cudaError_t launch_foreign_kernel() {
  nothing<<<1, 1>>>();
  return cudaGetLastError();
}

}  // namespace octavo::test
