#include "tensor/tensor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/threads.h"
#include "tensor/convert.h"

namespace octavo {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector of any CPU here
constexpr size_t kMaxBytes = size_t{1} << 40;  // beyond any model: a shape that makes no sense
constexpr int64_t kConvertGrain = 1 << 16;     // elements a thread converts at a time

bool is_packed(DType dtype) { return info(dtype).bits < 8; }

// The matrix in which a tensor is stored: rows of the last axis.
struct RowView {
  int64_t rows, row_elements;
};

RowView row_view(const Shape& shape) {
  const int64_t last = shape.empty() ? 1 : shape.back();
  return {last == 0 ? 0 : element_count(shape) / last, last};
}

size_t checked_bytes(DType dtype, const Shape& shape) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  element_count(shape);
  const auto [rows, row_elements] = row_view(shape);
  OCTAVO_CHECK(row_elements <= kMax / 64, "a row of shape {} is too large", to_string(shape));
  const int64_t row = row_bytes(dtype, row_elements);
  OCTAVO_CHECK(row == 0 || rows <= kMax / row, "{} of shape {} has more than 2^63 bytes",
               name(dtype), to_string(shape));
  return static_cast<size_t>(rows * row);
}

std::shared_ptr<void> allocate(size_t bytes, DType dtype, const Shape& shape) {
  OCTAVO_CHECK(bytes <= kMaxBytes, "{} of shape {} has {} bytes; no more than {} can be allocated",
               name(dtype), to_string(shape), bytes, kMaxBytes);
  // Never a null pointer: an empty tensor has data too.
  const size_t rounded = std::max(bytes + kAlignment - 1, kAlignment) / kAlignment * kAlignment;
  void* data = std::aligned_alloc(kAlignment, rounded);
  OCTAVO_CHECK(data != nullptr, "out of memory: {} bytes for {} of shape {}", bytes, name(dtype),
               to_string(shape));
  return {data, std::free};
}

}  // namespace

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  bool empty = false;
  for (const int64_t dim : shape) {
    OCTAVO_CHECK(dim >= 0, "shape {} has a negative dimension", to_string(shape));
    empty |= dim == 0;
    OCTAVO_CHECK(dim == 0 || !__builtin_mul_overflow(count, dim, &count),
                 "shape {} has more than 2^63 elements", to_string(shape));
  }
  return empty ? 0 : count;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

Tensor Tensor::typed(DType dtype, Shape shape) {
  checked_bytes(dtype, shape);
  Tensor t;
  t.dtype_ = dtype;
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::empty(DType dtype, Shape shape) {
  Tensor t = typed(dtype, std::move(shape));
  auto storage = allocate(t.bytes(), dtype, t.shape_);
  t.data_ = storage.get();
  t.owner_ = std::move(storage);
  t.writable_ = true;
  return t;
}

Tensor Tensor::zeros(DType dtype, Shape shape) {
  Tensor t = empty(dtype, std::move(shape));
  std::memset(t.mutable_data(), 0, t.bytes());
  return t;
}

Tensor Tensor::view(DType dtype, Shape shape, const void* data, std::shared_ptr<const void> owner) {
  Tensor t = typed(dtype, std::move(shape));
  OCTAVO_CHECK(data != nullptr, "a view of {} {} needs data", name(dtype), to_string(t.shape_));
  t.data_ = data;
  t.owner_ = std::move(owner);
  return t;
}

Tensor Tensor::on_device(DType dtype, Shape shape, const void* address,
                         std::shared_ptr<const void> owner) {
  Tensor t = view(dtype, std::move(shape), address, std::move(owner));
  t.on_device_ = true;
  return t;
}

Tensor Tensor::scalar(float value) { return from({value}, {}); }

Tensor Tensor::from(const std::vector<float>& values, Shape shape) {
  Tensor t = empty(DType::f32, std::move(shape));
  OCTAVO_CHECK(static_cast<int64_t>(values.size()) == t.elements(),
               "{} values do not fill shape {}", values.size(), to_string(t.shape_));
  std::copy(values.begin(), values.end(), t.as_mutable<float>());
  return t;
}

int64_t Tensor::dim(int axis) const {
  const int64_t at = axis < 0 ? axis + rank() : axis;
  OCTAVO_CHECK(at >= 0 && at < rank(), "shape {} has no axis {}", to_string(shape_), axis);
  return shape_[static_cast<size_t>(at)];
}

size_t Tensor::bytes() const { return checked_bytes(dtype_, shape_); }

const void* Tensor::data() const {
  OCTAVO_CHECK_CODE(internal, !on_device_, "{} of shape {} lies on a device, not on the host",
                    name(dtype_), to_string(shape_));
  return data_;
}

void* Tensor::mutable_data() {
  OCTAVO_ASSERT(writable_);
  return const_cast<void*>(data_);
}

Tensor Tensor::reshaped(Shape shape) const {
  OCTAVO_CHECK(element_count(shape) == elements(), "cannot reshape {} to {}: {} elements, not {}",
               to_string(shape_), to_string(shape), elements(), element_count(shape));
  // Rows of packed formats are padded: another row length is another layout, unless nothing is.
  const int64_t before = row_view(shape_).row_elements, after = row_view(shape).row_elements;
  const int bits = info(dtype_).bits;
  OCTAVO_CHECK(
      !is_packed(dtype_) || before == after || (before * bits % 8 == 0 && after * bits % 8 == 0),
      "cannot reshape packed {} {} to {}: rows are padded to whole bytes", name(dtype_),
      to_string(shape_), to_string(shape));
  Tensor t = *this;
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  OCTAVO_CHECK(rank() >= 1 && begin >= 0 && begin <= end && end <= shape_[0],
               "rows [{}, {}) are not within shape {}", begin, end, to_string(shape_));
  const int bits = info(dtype_).bits;
  OCTAVO_CHECK(rank() > 1 || !is_packed(dtype_) ||
                   (begin * bits % 8 == 0 && (end * bits % 8 == 0 || end == shape_[0])),
               "elements [{}, {}) of packed {} {} do not begin and end at a byte", begin, end,
               name(dtype_), to_string(shape_));
  Tensor t = *this;
  t.shape_[0] = begin;
  const size_t offset = t.bytes();
  t.shape_[0] = end - begin;
  if (has_data()) t.data_ = static_cast<const std::byte*>(data_) + offset;
  return t;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  if (!has_data()) return typed(dtype, shape_);
  Tensor out = empty(dtype, shape_);
  // Without padding on either side the whole tensor is one run that may be cut anywhere.
  const bool padded = is_packed(dtype_) || is_packed(dtype);
  const RowView view = padded ? row_view(shape_) : RowView{elements(), 1};
  const int64_t src_step = row_bytes(dtype_, view.row_elements);
  const int64_t dst_step = row_bytes(dtype, view.row_elements);
  const auto* src = static_cast<const std::byte*>(data());
  auto* dst = static_cast<std::byte*>(out.mutable_data());
  const int64_t grain =
      std::max<int64_t>(1, kConvertGrain / std::max<int64_t>(1, view.row_elements));
  parallel_for(view.rows, grain, [&](int64_t begin, int64_t end) {
    const int64_t run = padded ? 1 : end - begin;
    for (int64_t r = begin; r < end; r += run) {
      convert_row(dtype_, src + r * src_step, dtype, dst + r * dst_step, run * view.row_elements);
    }
  });
  return out;
}

std::vector<float> Tensor::to_floats() const {
  OCTAVO_ASSERT(has_data());
  const Tensor f32 = to(DType::f32);
  return {f32.as<float>(), f32.as<float>() + f32.elements()};
}

Tensor Tensor::clone() const {
  if (!has_data()) return *this;
  Tensor t = empty(dtype_, shape_);
  std::memcpy(t.mutable_data(), data(), bytes());
  return t;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape() || a.has_data() != b.has_data())
    return false;
  return !a.has_data() || std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

}  // namespace octavo
