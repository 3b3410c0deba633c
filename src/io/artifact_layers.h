#pragma once
// What an artifact holds of one quantized layer: the tensors' values checked and read. Private to
// this floor.
#include <string>

#include "io/artifact.h"

namespace octavo {

// Error{bad_file} names file, tensor, found and expected where a tensor of the layer is missing, of
// another type or shape, or holds what cannot be: scales that are not above 0, numbers that are not
// finite, zero points off the grid, steps that do not ascend.
void check_layer(const SafetensorsFile& file, const std::string& layer, const LayerForm& form);
QuantizedLayer load_layer(const SafetensorsFile& file, const std::string& layer,
                          const LayerForm& form);

// Error{bad_file} unless the tensor is there and is of this type; `owner` says what wants it.
void check_declared(const SafetensorsFile& file, const TensorDecl& decl, const std::string& owner);
void check_scales(const SafetensorsFile& file, const std::string& name);

}  // namespace octavo
