#include "kernels/cuda/sm90/tensor_map.h"

#include <cuda_runtime.h>

namespace octavo::cuda::sm90 {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

// The driver's encoder, which is not in the runtime; nullptr if there is none.
Encode find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                       cudaEnableDefault, &found) != cudaSuccess ||
      found != cudaDriverEntryPointSuccess) {
    return nullptr;
  }
  return reinterpret_cast<Encode>(function);
}

CUtensorMapDataType type_of(int element_bytes) {
  return element_bytes == 4   ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32
         : element_bytes == 2 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                              : CU_TENSOR_MAP_DATA_TYPE_UINT8;
}
CUtensorMapSwizzle swizzle_of(int span) {
  return span == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
         : span == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                      : CU_TENSOR_MAP_SWIZZLE_32B;
}

}  // namespace

bool make_tensor_map(CUtensorMap* map, const MatrixView& v) {
  static const Encode encode = find_encode();
  if (!encode) return false;
  const cuuint64_t extents[2] = {static_cast<cuuint64_t>(v.cols), static_cast<cuuint64_t>(v.rows)};
  const cuuint64_t pitch[1] = {static_cast<cuuint64_t>(v.pitch * v.element_bytes)};
  const cuuint32_t box[2] = {static_cast<cuuint32_t>(v.box_cols),
                             static_cast<cuuint32_t>(v.box_rows)};
  const cuuint32_t strides[2] = {1, 1};
  return encode(map, type_of(v.element_bytes), 2, const_cast<void*>(v.data), extents, pitch, box,
                strides, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle_of(v.box_cols * v.element_bytes),
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace octavo::cuda::sm90
