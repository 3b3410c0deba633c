#include "kernels/device.h"

namespace octavo {

Tensor to_device(Device& device, const Tensor& tensor, std::string_view what) {
  if (tensor.is_on_device()) return tensor;
  const auto memory = device.allocate(tensor.bytes(), what);
  device.upload(memory.get(), tensor.data(), tensor.bytes());
  return Tensor::on_device(tensor.dtype(), tensor.shape(), memory.get(), memory);
}

Tensor to_host(Device& device, const Tensor& tensor) {
  if (!tensor.is_on_device()) return tensor;
  Tensor result = Tensor::empty(tensor.dtype(), tensor.shape());
  device.download(result.mutable_data(), tensor.address(), tensor.bytes());
  return result;
}

}  // namespace octavo
