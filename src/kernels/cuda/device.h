#pragma once
#include <cuda_runtime.h>

#include <memory>

#include "kernels/device.h"
#include "kernels/kernel.h"

namespace octavo::cuda {

class Libraries;  // handles of cuBLASLt and cuDNN, libraries.h

class CudaDevice : public Device {
 public:
  explicit CudaDevice(int index);
  ~CudaDevice() override;

  const DeviceInfo& info() const override { return info_; }
  void activate() override;
  std::shared_ptr<void> allocate(size_t bytes, std::string_view what) override;
  size_t free_bytes() override;
  void upload(void* to, const void* from, size_t bytes) override;
  void download(void* to, const void* from, size_t bytes) override;
  void copy(void* to, const void* from, size_t bytes) override;
  void copy_2d(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
               size_t height) override;
  void fill(void* to, uint8_t value, size_t bytes) override;
  void synchronize() override;
  std::unique_ptr<Mark> mark() override;
  std::unique_ptr<Recording> record(const std::function<void()>& launches) override;
  std::vector<double> time(const std::vector<std::function<void()>>& work) override;

  cudaStream_t stream() const { return stream_; }
  // A word that kernels set when they meet a value that is not finite where numbers are needed;
  // synchronize() reports it.
  uint32_t* not_finite_flag() const { return not_finite_; }
  Libraries& libraries();

 private:
  DeviceInfo info_;
  cudaStream_t stream_ = nullptr;
  uint32_t* not_finite_ = nullptr;  // in host memory that the device writes
  std::unique_ptr<Libraries> libraries_;
};

// Error{unsupported} that names the device, its architecture and what this build is for, where the
// kernel has no code that the current device runs.
void require_code(const void* kernel, const DeviceInfo& info);
// A kernel that is built for every architecture of the build.
const void* probe_kernel();
// Why there is no device, from what counting them returned and the driver's version (0: none).
std::string no_device_reason(cudaError_t status, int driver);

inline CudaDevice& device_of(const Call& call) { return static_cast<CudaDevice&>(*call.device); }

}  // namespace octavo::cuda
