#pragma once
// The CUDA device of this machine, if it has one. Tests that need it are skipped without, with the
// reason.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "kernels/device.h"
#include "octavo/error.h"

namespace octavo::test {

struct CudaDevice {
  std::shared_ptr<Device> device;
  std::string reason;  // why there is none
};

inline const CudaDevice& cuda() {
  static const CudaDevice result = [] {
    try {
      return CudaDevice{open_device("cuda"), ""};
    } catch (const Error& error) {
      return CudaDevice{nullptr, error.what()};
    }
  }();
  return result;
}

}  // namespace octavo::test

#define OCTAVO_NEEDS_CUDA() \
  if (::octavo::test::cuda().device == nullptr) GTEST_SKIP() << ::octavo::test::cuda().reason
