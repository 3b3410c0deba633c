// The names that people know, as values of the algebra. They mean what diffusers-torchao's labels
// mean, except: integers are symmetric about top codes 127 and 7 (torchao: 127.5 and 7.5), all
// arithmetic is f32 (torchao: the weight's type), int4wo is symmetric in groups of 64 (torchao's is
// int4wo-zp with a float zero point), int4dq's activations are symmetric, and uintNwo's scales are
// f16 (torchao: the weight's type). nvfp4 is Model-Optimizer's, with both scales of activations
// found at run time; mxfpN are OCP's, scales by its rule.
#include "base/check.h"
#include "octavo/quant_spec.h"

namespace octavo {
namespace {

struct Row {
  std::string_view name, weight, activation, meaning;  // activation empty: kept in float
};

constexpr std::string_view kUintMeaning =
    "integer of so many bits with zero point; one scale for 64 weights (torchao's uintx)";

constexpr Row kRows[] = {
    {"fp8", "e4m3/1x*/static/f32", "e4m3/*x*/static/f32",
     "W8A8, 8-bit float; activations by one calibrated scale a tensor"},
    {"int8", "i8/1x*/static/f32", "i8/*x*/static/f32",
     "W8A8, 8-bit integer; activations by one calibrated scale a tensor"},
    {"fp8dq", "e4m3/*x*/static/f32", "e4m3/*x*/dynamic/f32",
     "W8A8, 8-bit float; one scale a tensor, that of activations found at run time"},
    {"fp8dqrow", "e4m3/1x*/static/f32", "e4m3/1x*/dynamic/f32",
     "W8A8, 8-bit float; one scale an output channel and, at run time, a token"},
    {"int8dq", "i8/1x*/static/f32", "i8/1x*/dynamic/f32",
     "W8A8, 8-bit integer; one scale an output channel and, at run time, a token"},
    {"int8wo", "i8/1x*/static/f32", "", "W8A16, 8-bit integer; one scale an output channel"},
    {"fp8wo", "e4m3/1x*/static/f32", "", "W8A16, 8-bit float; one scale an output channel"},
    {"int6wo", "i6/1x64/static/f16", "", "W6A16, 6-bit integer; one scale for 64 weights"},
    {"int5wo", "i5/1x64/static/f16", "", "W5A16, 5-bit integer; one scale for 64 weights"},
    {"int4wo", "i4/1x64/static/f16", "", "W4A16, 4-bit integer; one scale for 64 weights"},
    {"int4wo-zp", "i4/1x128/static/f16/zp", "",
     "W4A16, 4-bit integer with zero point; one scale for 128 weights"},
    {"int4dq", "i4/1x32/static/f32", "i8/1x*/dynamic/f32",
     "W4A8, integer; one scale for 32 weights and, at run time, a token"},
    {"fp6_e3m2", "e3m2/1x*/static/f32", "", "W6A16, 6-bit float; one scale an output channel"},
    {"fp5_e2m2", "e2m2/1x*/static/f32", "", "W5A16, 5-bit float; one scale an output channel"},
    {"fp4_e2m1", "e2m1/1x*/static/f32", "", "W4A16, 4-bit float; one scale an output channel"},
    {"fp4_e2m1-g32", "e2m1/1x32/static/f16", "", "W4A16, 4-bit float; one scale for 32 weights"},
    {"uint7wo", "u7/1x64/static/f16/zp", "", kUintMeaning},
    {"uint6wo", "u6/1x64/static/f16/zp", "", kUintMeaning},
    {"uint5wo", "u5/1x64/static/f16/zp", "", kUintMeaning},
    {"uint4wo", "u4/1x64/static/f16/zp", "", kUintMeaning},
    {"uint3wo", "u3/1x64/static/f16/zp", "", kUintMeaning},
    {"uint2wo", "u2/1x64/static/f16/zp", "", kUintMeaning},
    {"uint1wo", "u1/1x64/static/f16/zp", "", kUintMeaning},
    {"w4a8", "i4/1x64/static/f16", "i8/1x*/dynamic/f32",
     "W4A8, integer; one scale for 64 weights and, at run time, a token"},
    {"w4a4", "i4/1x64/static/f16", "i4/1x64/dynamic/f32",
     "W4A4, integer; one scale for 64 weights and, at run time, 64 channels of a token"},
    {"mxfp8", "e4m3/1x32/static/mx", "e4m3/1x32/dynamic/mx",
     "W8A8, OCP MXFP8: 8-bit float; a power of two for 32 values of either operand"},
    {"mxfp8-up", "e4m3/1x32/static/e8m0", "e4m3/1x32/dynamic/e8m0",
     "the same with the power of two rounded up, as cuBLAS has it: nothing is clipped"},
    {"mxfp6", "e3m2/1x32/static/mx", "e3m2/1x32/dynamic/mx",
     "W6A6, OCP MXFP6: 6-bit float; a power of two for 32 values of either operand"},
    {"mxfp4", "e2m1/1x32/static/mx", "e2m1/1x32/dynamic/mx",
     "W4A4, OCP MXFP4: 4-bit float; a power of two for 32 values of either operand"},
    {"nvfp4", "e2m1/1x16/static/e4m3*f32", "e2m1/1x16/dynamic/e4m3*f32",
     "W4A4, NVFP4: 4-bit float; an 8-bit float for 16 values under one scale a tensor"},
    {"nvfp4wo", "e2m1/1x16/static/e4m3*f32", "",
     "W4A16, NVFP4 weights: an 8-bit float for 16 weights under one scale a tensor"},
};

std::vector<NamedScheme> make_table() {
  std::vector<NamedScheme> table;
  for (const Row& row : kRows) {
    Scheme scheme{QuantSpec::parse(row.weight), std::nullopt};
    if (!row.activation.empty()) scheme.activation = QuantSpec::parse(row.activation);
    table.push_back({std::string(row.name), std::move(scheme), std::string(row.meaning)});
  }
  return table;
}

Scheme parse_scheme(std::string_view text) {
  const size_t space = text.find(' ');
  const std::string_view weight = text.substr(0, space);
  Scheme scheme{QuantSpec::parse(weight.substr(2)), std::nullopt};
  OCTAVO_CHECK(scheme.weight.timing == QuantSpec::Timing::static_,
               "scheme '{}': a weight's scale is static; only activations can be dynamic", text);
  if (space == text.npos) return scheme;
  const std::string_view activation = text.substr(space + 1);
  OCTAVO_CHECK(activation.starts_with("a="),
               "scheme '{}': '{}' after the weight's spec is not a=SPEC", text, activation);
  scheme.activation = QuantSpec::parse(activation.substr(2));
  return scheme;
}

}  // namespace

std::string Scheme::text() const {
  return "w=" + weight.text() + (activation ? " a=" + activation->text() : "");
}

const std::vector<NamedScheme>& scheme_table() {
  static const std::vector<NamedScheme> table = make_table();
  return table;
}

Scheme find_scheme(std::string_view text) {
  if (text.starts_with("w=")) return parse_scheme(text);
  std::string names;
  for (const NamedScheme& row : scheme_table()) {
    if (row.name == text) return row.scheme;
    names += " " + row.name;
  }
  OCTAVO_FAIL(invalid_argument, "unknown scheme '{}'; expected w=SPEC [a=SPEC] or one of:{}", text,
              names);
}

}  // namespace octavo
