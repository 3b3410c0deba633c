#pragma once
// Recipes by name, made for a model: Model-Optimizer's quantization levels as NVIDIA's TensorRT
// demo has them (demo/Diffusion, utils_modelopt.py: quantize_lvl, filter_func), and pinning of
// blocks.
#include <string>
#include <string_view>
#include <vector>

#include "quant/recipe.h"

namespace octavo {

// A level takes, of the transformer,
//   1    convolutions
//   2    and linears with "ff.net" in their names (a quirk: not ff_context.net of FLUX)
//   2.5  and to_q, to_k, to_v (not add_q_proj and its like)
//   3    and all other linears, modulation (norm*.linear) among them
//   4    and attention, where its heads' width is a multiple of 16
// but never embedders, time embeddings, norm_out, first, last and shortcut convolutions, nor the
// layer named exactly proj_out (FLUX's single blocks each have one, which level 3 takes).
//   int8-levelN  linears int8 with SmoothQuant at 0.8; convolutions int8 with "Percentile Quant"
//                over all steps (steps:min-mean:1)
//   fp8-levelN   e4m3 with one scale a tensor on either side
// The original's level 0 is its default: 3 of int8, 4 of fp8 (3 for FLUX on Hopper). At INT8's
// level 4 the original leaves out what 3 adds, by an == where >= was meant; here a level has all
// below it.
struct NamedRecipe {
  std::string name, meaning;
};
const std::vector<NamedRecipe>& named_recipe_table();
bool names_recipe(std::string_view name);
// Error{invalid_argument} when the name is none (and lists them), or the level takes no layer of
// the model.
Recipe named_recipe(std::string_view name, const ModelSource& model);
// A name of the table, or a file.
Recipe find_recipe(const std::string& name_or_path, const ModelSource& model);

// How many of the transformer's blocks stay in float from either end, in the order of computation.
struct Pins {
  int first = 0, last = 0;
  // "first=1,last=2" or one of the two. Error{invalid_argument} says what is allowed.
  static Pins parse(std::string_view text);
};
// With `keep` lines for the pinned blocks in front, and without lines that have nothing left to
// decide then. Error{invalid_argument} when no block would be left.
Recipe pin_blocks(Recipe recipe, const ModelSource& model, const Pins& pins);

}  // namespace octavo
