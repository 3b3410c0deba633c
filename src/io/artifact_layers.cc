#include "io/artifact_layers.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/text.h"
#include "tensor/codec.h"
#include "tensor/quantize.h"
#include "tensor/two_of_four.h"

namespace octavo {
namespace {

constexpr const char *kWeight = ".weight", *kWeightScale = ".weight_scale",
                     *kWeightTensorScale = ".weight_tensor_scale",
                     *kWeightSparseIndices = ".weight_sparse_indices",
                     *kWeightZeroPoint = ".weight_zero_point", *kInputScale = ".input_scale",
                     *kInputSteps = ".input_steps", *kInputShift = ".input_shift",
                     *kInputMultiplier = ".input_multiplier", *kLowRankDown = ".low_rank_down",
                     *kLowRankUp = ".low_rank_up", *kBias = ".bias";

constexpr int64_t kMaxElements = int64_t{1} << 48;
constexpr float kMostScale = 1e30f;  // of a tensor: times a tile's scale and a code it is finite

DType code_type(const QuantSpec& spec) { return *find_dtype(spec.format); }

bool is_static(const Scheme& scheme) {
  return scheme.activation && scheme.activation->timing == QuantSpec::Timing::static_;
}

// The codes as rows of the weight's matrix.
Tensor matrix_codes(const Tensor& codes) {
  const auto [rows, cols] = matrix_extents(codes.shape(), MatrixView::weight);
  if (codes.rank() == 2 || info(codes.dtype()).bits == 8) return codes.reshaped({rows, cols});
  return codes.to(DType::f32).reshaped({rows, cols}).to(codes.dtype());
}

// Packed codes of a weight's matrix rows -> packed rows of its last axis, as a Tensor has them.
Tensor repack(const Tensor& packed, DType format, const Shape& shape) {
  const auto [rows, cols] = matrix_extents(shape, MatrixView::weight);
  const int bits = info(format).bits;
  const int64_t last = shape.back(), short_bytes = row_bytes(format, last);
  Tensor codes = Tensor::empty(format, shape);
  auto* out = static_cast<uint8_t*>(codes.mutable_data());
  std::vector<uint8_t> row(cols);
  for (int64_t r = 0; r < rows; ++r) {
    unpack_codes(bits, packed.as<uint8_t>() + r * row_bytes(format, cols), row.data(), cols);
    for (int64_t c = 0; c < cols; c += last, out += short_bytes) {
      pack_codes(bits, row.data() + c, out, last);
    }
  }
  return codes;
}

Tensor load_codes(const SafetensorsFile& file, const std::string& name, const QuantSpec& spec,
                  const Shape& shape) {
  const Tensor stored = file.tensor(name);
  const DType format = code_type(spec);
  if (info(format).bits == 8) return stored;
  if (shape.size() > 2) return repack(stored, format, shape);
  return Tensor::view(format, shape, stored.data(), std::make_shared<Tensor>(stored));
}

Tensor load_sparse_codes(const SafetensorsFile& file, const std::string& layer,
                         const LayerForm& form) {
  const auto [rows, cols] = matrix_extents(form.shape, MatrixView::weight);
  const QuantSpec& spec = form.scheme.weight;
  try {
    const Tensor codes = expand_two_of_four(
        {load_codes(file, layer + kWeight, spec, two_of_four_kept_shape(rows, cols)),
         file.tensor(layer + kWeightSparseIndices)},
        cols);
    if (form.shape.size() == 2 || info(code_type(spec)).bits == 8)
      return codes.reshaped(form.shape);
    return codes.to(DType::f32).reshaped(form.shape).to(codes.dtype());
  } catch (const Error& error) {
    OCTAVO_FAIL(bad_file, "{}: tensor \"{}\": {}", file.path().string(),
                printable(layer + kWeightSparseIndices), error.what());
  }
}

std::vector<TensorDecl> weight_decls(const std::string& layer, const LayerForm& form) {
  const auto [rows, cols] = matrix_extents(form.shape, MatrixView::weight);
  const QuantSpec& w = form.scheme.weight;
  const Shape scales = w.scale_shape(rows, cols);
  const DType format = code_type(w);
  const bool packed = info(format).bits < 8;
  const int64_t stored = form.two_of_four ? cols / 2 : cols;
  const Shape whole = form.two_of_four ? Shape{rows, stored} : form.shape;
  std::vector<TensorDecl> decls{{layer + kWeight, packed ? DType::u8 : format,
                                 packed ? Shape{rows, row_bytes(format, stored)} : whole},
                                {layer + kWeightScale, scale_format(w), scales}};
  if (form.two_of_four) {
    decls.push_back({layer + kWeightSparseIndices, DType::u8, two_of_four_index_shape(rows, cols)});
  }
  if (w.has_tensor_scale()) decls.push_back({layer + kWeightTensorScale, DType::f32, {1, 1}});
  if (w.zero_point) decls.push_back({layer + kWeightZeroPoint, DType::f32, scales});
  return decls;
}

void check_form(const LayerForm& form) {
  OCTAVO_CHECK(form.shape.size() >= 2 && element_count(form.shape) <= kMaxElements,
               "a weight has two or more axes and at most 2^48 elements, not {}",
               to_string(form.shape));
  const auto [rows, cols] = matrix_extents(form.shape, MatrixView::weight);
  const auto& activation = form.scheme.activation;
  OCTAVO_CHECK(
      !is_static(form.scheme) || (activation->tile_rows == 0 && activation->tile_cols == 0),
      "static activation {} has tiles; one scale a tensor (*x*) is stored", activation->text());
  OCTAVO_CHECK(form.steps == 0 || is_static(form.scheme),
               "there are scales for {} steps, but no static activation", form.steps);
  OCTAVO_CHECK(form.steps >= 0 && form.steps <= LayerForm::kMaxSteps,
               "there are scales for {} steps, expected at most {}", form.steps,
               LayerForm::kMaxSteps);
  OCTAVO_CHECK(!form.two_of_four || (cols % 4 == 0 && !form.scheme.weight.zero_point),
               "2:4 codes need a multiple of 4 columns and no zero point, not {} columns of {}",
               cols, form.scheme.weight.text());
  const bool linear = form.shape.size() == 2;
  OCTAVO_CHECK(linear || (!form.shift && !form.multiplier && form.rotation == 0 && form.rank == 0),
               "a weight {} is a convolution's, but its input is transformed or it has a low-rank "
               "branch",
               to_string(form.shape));
  OCTAVO_CHECK(form.rotation == 0 || (form.rotation > 0 &&
                                      std::has_single_bit(static_cast<uint64_t>(form.rotation)) &&
                                      cols % form.rotation == 0),
               "rotation is {}, expected a power of two that divides {}", form.rotation, cols);
  OCTAVO_CHECK(form.rank >= 0 && form.rank <= std::min(rows, cols),
               "rank is {}, expected at most {} of a weight {}", form.rank, std::min(rows, cols),
               to_string(form.shape));
}

std::vector<TensorDecl> input_decls(const std::string& layer, const LayerForm& form) {
  std::vector<TensorDecl> decls;
  if (is_static(form.scheme)) {
    decls.push_back({layer + kInputScale, DType::f32, {std::max<int64_t>(form.steps, 1), 1}});
  }
  if (form.steps > 0) decls.push_back({layer + kInputSteps, DType::f32, {form.steps}});
  const int64_t out = form.shape[0], in = form.shape[1];
  if (form.shift) decls.push_back({layer + kInputShift, DType::f32, {in}});
  if (form.multiplier) decls.push_back({layer + kInputMultiplier, DType::f32, {in}});
  if (form.rank > 0) {
    decls.push_back({layer + kLowRankDown, DType::bf16, {form.rank, in}});
    decls.push_back({layer + kLowRankUp, DType::bf16, {out, form.rank}});
  }
  if (form.bias) decls.push_back({layer + kBias, DType::f32, {out}});
  return decls;
}

// valid(value, the one before it); `wanted` says what it asks for.
template <class Valid>
void check_values(const SafetensorsFile& file, const std::string& name, const char* what,
                  const std::string& wanted, const Valid& valid) {
  const std::vector<float> values = file.tensor(name).to_floats();
  for (size_t i = 0; i < values.size(); ++i) {
    OCTAVO_CHECK_FILE(valid(values[i], i == 0 ? -INFINITY : values[i - 1]),
                      "{}: {} {} of tensor \"{}\" is {}; expected {}", file.path().string(), what,
                      i, printable(name), values[i], wanted);
  }
}

bool is_positive(float v, float) { return std::isfinite(v) && v > 0; }

void check_zero_points(const SafetensorsFile& file, const std::string& name, DType format) {
  const auto low = static_cast<float>(lowest(format)), high = static_cast<float>(info(format).max);
  check_values(file, name, "zero point", fmt::format("a whole number from {} to {}", low, high),
               [=](float v, float) { return v >= low && v <= high && v == std::floor(v); });
}

void check_contents(const SafetensorsFile& file, const std::string& name, const LayerForm& form) {
  if (name.ends_with(kWeightScale) || name.ends_with(kInputScale)) return check_scales(file, name);
  if (name.ends_with(kWeightZeroPoint)) {
    return check_zero_points(file, name, code_type(form.scheme.weight));
  }
  if (name.ends_with(kWeight) || name.ends_with(kWeightSparseIndices)) return;
  if (name.ends_with(kWeightTensorScale)) {
    return check_values(file, name, "scale",
                        fmt::format("a number above 0, at most {}", kMostScale),
                        [](float v, float) { return v > 0 && v <= kMostScale; });
  }
  if (name.ends_with(kInputMultiplier)) {
    return check_values(file, name, "multiplier", "a finite number above 0", is_positive);
  }
  if (name.ends_with(kInputSteps)) {
    return check_values(file, name, "step", "a finite number above the one before",
                        [](float v, float last) { return std::isfinite(v) && v > last; });
  }
  check_values(file, name, "element", "a finite number",
               [](float v, float) { return std::isfinite(v); });
}

}  // namespace

LayerForm LayerForm::of(const QuantizedLayer& layer) {
  LayerForm form{{layer.weight.spec, layer.activation}, layer.weight.codes.shape()};
  form.steps = layer.input_steps.has_data() ? layer.input_steps.elements() : 0;
  form.rank = layer.low_rank_down.has_data() ? layer.low_rank_down.dim(0) : 0;
  form.rotation = layer.input.rotation;
  form.shift = layer.input.shift.has_data();
  form.multiplier = layer.input.multiplier.has_data();
  form.bias = layer.bias.has_data();
  form.two_of_four = layer.two_of_four;
  return form;
}

std::vector<TensorDecl> layer_tensors(const std::string& layer, const LayerForm& form) {
  try {
    check_form(form);
    std::vector<TensorDecl> decls = weight_decls(layer, form);
    const std::vector<TensorDecl> more = input_decls(layer, form);
    decls.insert(decls.end(), more.begin(), more.end());
    sort_for_safetensors(decls);
    return decls;
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("layer \"{}\": {}", printable(layer), error.what()));
  }
}

Tensor layer_tensor(const QuantizedLayer& layer, const std::string& name) {
  if (layer.two_of_four && (name.ends_with(kWeight) || name.ends_with(kWeightSparseIndices))) {
    TwoOfFour sparse = pack_two_of_four(matrix_codes(layer.weight.codes));
    return name.ends_with(kWeight) ? sparse.kept : sparse.indices;
  }
  const std::pair<const char*, const Tensor*> kParts[] = {
      {kWeight, &layer.weight.codes},
      {kWeightScale, &layer.weight.scale},
      {kWeightTensorScale, &layer.weight.tensor_scale},
      {kWeightZeroPoint, &layer.weight.zero_point},
      {kInputScale, &layer.input_scale},
      {kInputSteps, &layer.input_steps},
      {kInputShift, &layer.input.shift},
      {kInputMultiplier, &layer.input.multiplier},
      {kLowRankDown, &layer.low_rank_down},
      {kLowRankUp, &layer.low_rank_up},
      {kBias, &layer.bias},
  };
  const auto found = std::find_if(std::begin(kParts), std::end(kParts),
                                  [&](const auto& part) { return name.ends_with(part.first); });
  OCTAVO_ASSERT(found != std::end(kParts));
  return *found->second;
}

void check_scales(const SafetensorsFile& file, const std::string& name) {
  check_values(file, name, "scale", "a finite number above 0", is_positive);
}

void check_declared(const SafetensorsFile& file, const TensorDecl& decl, const std::string& owner) {
  const std::string where = file.path().string();
  OCTAVO_CHECK_FILE(file.contains(decl.name), "{}: tensor \"{}\" is missing; {} in the manifest",
                    where, printable(decl.name), owner);
  const SafetensorsEntry& entry = file.entry(decl.name);
  OCTAVO_CHECK_FILE(entry.dtype == decl.dtype && entry.shape == decl.shape,
                    "{}: tensor \"{}\" is {} {}; expected {} {}: {}", where, printable(decl.name),
                    name(entry.dtype), to_string(entry.shape), name(decl.dtype),
                    to_string(decl.shape), owner);
}

void check_layer(const SafetensorsFile& file, const std::string& layer, const LayerForm& form) {
  std::vector<TensorDecl> decls;
  try {
    decls = layer_tensors(layer, form);
  } catch (const Error& error) {
    OCTAVO_FAIL(bad_file, "{}: {}", file.path().string(), error.what());
  }
  const std::string owner = fmt::format("layer \"{}\", a weight {}, is {}", printable(layer),
                                        to_string(form.shape), form.scheme.text());
  for (const TensorDecl& decl : decls) {
    check_declared(file, decl, owner);
    check_contents(file, decl.name, form);
  }
}

QuantizedLayer load_layer(const SafetensorsFile& file, const std::string& layer,
                          const LayerForm& form) {
  const auto read = [&](const char* suffix, bool there) {
    return there ? file.tensor(layer + suffix) : Tensor();
  };
  QuantizedLayer result;
  result.weight.spec = form.scheme.weight;
  result.two_of_four = form.two_of_four;
  result.weight.codes = form.two_of_four
                            ? load_sparse_codes(file, layer, form)
                            : load_codes(file, layer + kWeight, form.scheme.weight, form.shape);
  result.weight.scale = file.tensor(layer + kWeightScale);
  result.weight.zero_point = read(kWeightZeroPoint, form.scheme.weight.zero_point);
  result.weight.tensor_scale = read(kWeightTensorScale, form.scheme.weight.has_tensor_scale());
  result.activation = form.scheme.activation;
  result.input_scale = read(kInputScale, is_static(form.scheme));
  result.input_steps = read(kInputSteps, form.steps > 0);
  result.input = {read(kInputShift, form.shift), read(kInputMultiplier, form.multiplier),
                  form.rotation};
  result.low_rank_down = read(kLowRankDown, form.rank > 0);
  result.low_rank_up = read(kLowRankUp, form.rank > 0);
  result.bias = read(kBias, form.bias);
  return result;
}

}  // namespace octavo
