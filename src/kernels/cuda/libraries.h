#pragma once
namespace octavo::cuda {
class CudaDevice;
class Libraries {
 public:
  explicit Libraries(CudaDevice&) {}
};
}  // namespace octavo::cuda
