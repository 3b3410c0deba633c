#pragma once
// A dense row-major tensor. Copying a Tensor shares its storage. A Tensor may have a type and no
// data (a model built from its config alone). It lies in the host's memory or a device's; only the
// host's can be read here.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace octavo {

using Shape = std::vector<int64_t>;

// The product. Error if a dimension is negative, or if those that are not 0 overflow int64.
int64_t element_count(const Shape& shape);
std::string to_string(const Shape& shape);  // "[2, 64, 32]"

class Tensor {
 public:
  Tensor() = default;
  // Uninitialised storage, 64-byte aligned; Error{invalid_argument} for impossible sizes.
  static Tensor empty(DType dtype, Shape shape);
  static Tensor zeros(DType dtype, Shape shape);
  static Tensor typed(DType dtype, Shape shape);  // no data
  static Tensor view(DType dtype, Shape shape, const void* data, std::shared_ptr<const void> owner);
  // In a device's memory (kernels/device.h): can be handed on, cut and reshaped.
  static Tensor on_device(DType dtype, Shape shape, const void* address,
                          std::shared_ptr<const void> owner);
  static Tensor scalar(float value);
  static Tensor from(const std::vector<float>& values, Shape shape);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t dim(int axis) const;  // negative axes count from the end
  int64_t rank() const { return static_cast<int64_t>(shape_.size()); }
  int64_t elements() const { return element_count(shape_); }
  size_t bytes() const;
  bool has_data() const { return data_ != nullptr; }
  bool is_on_device() const { return on_device_; }

  const void* address() const { return data_; }  // wherever it lies
  const void* data() const;                      // Error{internal} unless on the host
  void* mutable_data();                          // only for storage that this process allocated
  template <class T>
  const T* as() const {
    return static_cast<const T*>(data());
  }
  template <class T>
  T* as_mutable() {
    return static_cast<T*>(mutable_data());
  }

  // Are both within one allocation?
  bool shares_storage(const Tensor& other) const {
    return owner_ != nullptr && !owner_.owner_before(other.owner_) &&
           !other.owner_.owner_before(owner_);
  }

  Tensor reshaped(Shape shape) const;             // same element count, shared storage
  Tensor rows(int64_t begin, int64_t end) const;  // [begin, end) of axis 0, shared storage
  Tensor to(DType dtype) const;  // value conversion through codec.h; shares if equal
  std::vector<float> to_floats() const;
  Tensor clone() const;

 private:
  DType dtype_ = DType::f32;
  Shape shape_;
  const void* data_ = nullptr;
  bool writable_ = false;
  bool on_device_ = false;
  std::shared_ptr<const void> owner_;
};

bool same_bytes(const Tensor& a, const Tensor& b);

}  // namespace octavo
