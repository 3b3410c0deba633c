#include "models/random_store.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/glob.h"
#include "tensor/quantize.h"

namespace octavo {
namespace {

constexpr int64_t kPeriod = 1 << 22;  // values drawn; buffers repeat them
constexpr float kDeviation = 0.02f;
constexpr float kInputAbsmax = 8;
constexpr int64_t kStep = 64;  // elements between the starts of two tensors

// splitmix64 (Steele, Lea, Flood 2014).
uint64_t next(uint64_t& state) {
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Sums of four uniforms: near enough to normal, and bounded.
Tensor draw() {
  Tensor values = Tensor::empty(DType::f32, {1, kPeriod});
  uint64_t state = 1;
  constexpr float kUniformDeviation = 0.5773503f;  // of four uniforms in [0, 1)
  for (int64_t i = 0; i < kPeriod; ++i) {
    const uint64_t bits = next(state);
    float sum = -2;
    for (int part = 0; part < 4; ++part) {
      sum += static_cast<float>(bits >> (16 * part) & 0xffff) * 0x1p-16f;
    }
    values.as_mutable<float>()[i] = sum * (kDeviation / kUniformDeviation);
  }
  return values;
}

// A [1, n] tensor repeated until it has `elements`.
Tensor repeated(const Tensor& once, int64_t elements) {
  const int64_t times = (elements + kPeriod - 1) / kPeriod;
  Tensor result = Tensor::empty(once.dtype(), {1, times * kPeriod});
  for (int64_t i = 0; i < times; ++i) {
    std::memcpy(result.as_mutable<char>() + static_cast<size_t>(i) * once.bytes(), once.data(),
                once.bytes());
  }
  return result;
}

// Of a static spec, else empty.
Tensor input_scale(const QuantSpec& spec) {
  if (spec.timing != QuantSpec::Timing::static_) return {};
  return Tensor::from({scale_for_absmax(spec, kInputAbsmax)}, {1, 1});
}

bool kept(const Family& family, const std::string& layer) {
  return std::any_of(family.keep_float.begin(), family.keep_float.end(),
                     [&](const char* pattern) { return glob_match(pattern, layer); });
}

}  // namespace

RandomStore::RandomStore(const Family& family, const Config& config, DType dtype,
                         std::optional<Scheme> scheme, std::optional<AttentionScheme> attention)
    : dtype_(dtype), scheme_(std::move(scheme)), attention_(std::move(attention)) {
  int64_t largest = 1;
  for (const char* method : family.methods) {
    const Graph graph = family.build(config, nullptr, method);
    for (const Value& value : graph.values()) {
      if (!value.constant) continue;
      const auto index = static_cast<int64_t>(entries_.size());
      entries_.try_emplace(value.name, Entry{value.constant->shape(), index});
      largest = std::max(largest, value.constant->elements());
    }
    if (!scheme_) continue;
    for (const QuantizableLayer& layer : quantizable_layers(graph)) {
      if (!kept(family, layer.name)) entries_.at(layer.name + ".weight").quantized = true;
    }
  }
  const int64_t elements = largest + kStep * static_cast<int64_t>(entries_.size());
  const Tensor drawn = draw();
  values_ = repeated(drawn.to(dtype), elements);
  ones_ = Tensor::from(std::vector<float>(1 << 20, 1.0f), {1, 1 << 20}).to(dtype);
  if (!scheme_) return;
  QuantSpec whole = scheme_->weight;
  whole.tile_rows = whole.tile_cols = 0;
  whole.zero_point = whole.format[0] == 'u';  // which have none without
  whole.scale = "f32";
  const QuantizedTensor q = quantize(drawn, whole, MatrixView::weight);
  codes_ = repeated(q.codes, elements);
  code_scale_ = q.scale.as<float>()[0];
  if (whole.zero_point) code_zero_point_ = q.zero_point.as<float>()[0];
}

std::vector<std::string> RandomStore::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

const RandomStore::Entry& RandomStore::at(const std::string& name) const {
  const auto found = entries_.find(name);
  OCTAVO_CHECK_FILE(found != entries_.end(), "random weights: there is no tensor \"{}\"", name);
  return found->second;
}

TensorType RandomStore::type(const std::string& name) const { return {dtype_, at(name).shape}; }

Tensor RandomStore::piece(const Tensor& pool, const Shape& shape, int64_t index) const {
  const int64_t begin = row_bytes(pool.dtype(), kStep * index);
  const auto owner = std::make_shared<Tensor>(pool);
  return Tensor::view(pool.dtype(), shape, pool.as<char>() + begin, owner);
}

Tensor RandomStore::tensor(const std::string& name) const {
  const Entry& entry = at(name);
  const bool norm = entry.shape.size() == 1 && name.ends_with(".weight");
  return piece(norm ? ones_ : values_, entry.shape, norm ? 0 : entry.index);
}

std::optional<QuantizedLayer> RandomStore::quantized(const std::string& layer) const {
  const std::string name = layer + ".weight";
  const Entry& entry = at(name);
  if (!entry.quantized) return std::nullopt;
  const auto [rows, cols] = matrix_extents(entry.shape, MatrixView::weight);
  const Shape scales = scheme_->weight.scale_shape(rows, cols);
  const auto count = static_cast<size_t>(element_count(scales));
  const Tensor scale = Tensor::from(std::vector<float>(count, code_scale_), scales);
  QuantizedLayer result{{.spec = scheme_->weight,
                         .codes = piece(codes_, entry.shape, entry.index),
                         .scale = scale.to(scale_format(scheme_->weight)),
                         .zero_point = {}},
                        scheme_->activation,
                        {}};
  if (scheme_->weight.zero_point) {
    result.weight.zero_point = Tensor::from(std::vector<float>(count, code_zero_point_), scales);
  }
  if (scheme_->weight.has_tensor_scale()) {  // all of it: a tile's scale is 1
    result.weight.scale = Tensor::from(std::vector<float>(count, 1), scales).to(DType::e4m3);
    result.weight.tensor_scale = Tensor::from({code_scale_}, {1, 1});
  }
  if (scheme_->activation) result.input_scale = input_scale(*scheme_->activation);
  return result;
}

std::optional<QuantizedAttention> RandomStore::attention(const std::string&) const {
  if (!attention_) return std::nullopt;
  return QuantizedAttention{*attention_, input_scale(attention_->q), input_scale(attention_->k),
                            input_scale(attention_->v)};
}

}  // namespace octavo
