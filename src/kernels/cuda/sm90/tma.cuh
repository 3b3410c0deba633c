#pragma once
// The tensor copy engine of sm_90 for tensors of up to five axes: descriptors are made on the host,
// copies start on the device.
#include <cuda.h>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/sm90/ptx.cuh"

namespace octavo::cuda::sm90 {

// Tiles of a tensor in device memory. Axis 0 is the innermost; strides are in bytes, of axes 1 and
// up, and like the address multiples of 16. What a tile has outside of the tensor reads as 0.
struct TileSource {
  CUtensorMapDataType type;
  const void* data;
  int rank;
  uint64_t extents[5], strides[4];
  uint32_t box[5];
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
};

inline CUtensorMap encode_tiles(const Call& call, const TileSource& source) {
  static const auto encode = [] {
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult found;
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000,
                                           cudaEnableDefault, &found),
          "looking up cuTensorMapEncodeTiled");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(entry);
  }();
  const uint32_t ones[5] = {1, 1, 1, 1, 1};
  CUtensorMap map;
  const CUresult status =
      encode(&map, source.type, static_cast<uint32_t>(source.rank), const_cast<void*>(source.data),
             source.extents, source.strides, source.box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE,
             source.swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) fail(call, "cuTensorMapEncodeTiled gave " + std::to_string(status));
  return map;
}

// Starts the copy of the tile at those coordinates (innermost first) to shared memory; `barrier`
// counts its bytes.
__device__ inline void load_tile(void* to, const CUtensorMap* map, uint64_t* barrier, int x, int y,
                                 int z, int w) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z), "r"(w)
      : "memory");
}

}  // namespace octavo::cuda::sm90
