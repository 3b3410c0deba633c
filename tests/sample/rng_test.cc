#include "sample/rng.h"

#include <cmath>

#include "io/safetensors.h"
#include "plan/expect_error.h"
#include "sample/philox.h"
#include "sample/portable_math.h"

namespace octavo {
namespace {

using test::expect_error;

std::shared_ptr<const SafetensorsFile> goldens() {
  return SafetensorsFile::open(OCTAVO_SOURCE_DIR "/tests/goldens/rng/normal.safetensors");
}

// "torch.SEED.SIZE" -> our noise for that name.
Tensor noise_named(const std::string& name) {
  const size_t first = name.find('.'), second = name.rfind('.');
  const uint64_t seed = std::stoull(name.substr(first + 1, second - first - 1));
  return randn(parse_rng(name.substr(0, first)), seed, {std::stoll(name.substr(second + 1))});
}

TEST(Rng, TorchGivesTorchsValues) {
  int compared = 0;
  const auto file = goldens();
  for (const auto& [name, entry] : file->entries()) {
    if (!name.starts_with("torch.")) continue;
    const Tensor expected = file->tensor(name), found = noise_named(name);
    ASSERT_EQ(found.shape(), expected.shape());
    for (int64_t i = 0; i < found.elements(); ++i) {
      ASSERT_NEAR(found.as<float>()[i], expected.as<float>()[i], 1e-6) << name << " at " << i;
    }
    ++compared;
  }
  EXPECT_EQ(compared, 6 * 7 + 2);
}

// The goldens are the formulas in 100 bits: equal bits here mean equal bits on every machine.
TEST(Rng, PhiloxIsCorrectlyRounded) {
  int compared = 0;
  const auto file = goldens();
  for (const auto& [name, entry] : file->entries()) {
    if (!name.starts_with("philox.")) continue;
    EXPECT_TRUE(same_bytes(noise_named(name), file->tensor(name))) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 6 * 2 + 1);
}

// Known answers of Random123 (kat_vectors, philox4x32 10).
TEST(Rng, PhiloxKnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, PhiloxElementDependsOnSeedAndPlaceOnly) {
  const Tensor all = randn(RngKind::philox, 7, {2, 500});
  const Tensor few = randn(RngKind::philox, 7, {13});
  EXPECT_TRUE(same_bytes(all.reshaped({1000}).rows(0, 13), few));
  EXPECT_FALSE(same_bytes(randn(RngKind::philox, 8, {13}), few));
}

TEST(Rng, NoiseIsStandardNormal) {
  constexpr int64_t kCount = 1 << 18;
  for (RngKind kind : {RngKind::torch, RngKind::philox}) {
    const Tensor noise = randn(kind, 3, {kCount});
    double mean = 0, square = 0, fourth = 0;
    for (int64_t i = 0; i < kCount; ++i) {
      const double v = noise.as<float>()[i];
      mean += v / kCount;
      square += v * v / kCount;
      fourth += v * v * v * v / kCount;
    }
    // Five standard errors: 1, sqrt(2) and sqrt(96) over sqrt(n).
    EXPECT_NEAR(mean, 0, 5 / 512.0);
    EXPECT_NEAR(square, 1, 5 * std::sqrt(2) / 512.0);
    EXPECT_NEAR(fourth, 3, 5 * std::sqrt(96) / 512.0);
  }
}

TEST(Rng, NamesAreListed) {
  EXPECT_EQ(parse_rng("torch"), RngKind::torch);
  expect_error(ErrorCode::invalid_argument, {"numpy", "torch, philox"}, [] { parse_rng("numpy"); });
}

TEST(PortableMath, LogAndSineAgreeWithTheLibrary) {
  for (int i = 1; i <= 4000; ++i) {
    const double u = i / 4000.0, tiny = std::ldexp(u, -i % 60);
    EXPECT_NEAR(portable_log(tiny), std::log(tiny), 4e-16 * (1 - std::log(tiny)));
    for (double x : {6.283185307179586 * u, -6.283185307179586 * u}) {
      EXPECT_NEAR(portable_sincos(x).sin, std::sin(x), 4e-16);
      EXPECT_NEAR(portable_sincos(x).cos, std::cos(x), 4e-16);
    }
  }
}

}  // namespace
}  // namespace octavo
