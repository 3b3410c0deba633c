#include "tensor/two_of_four.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/threads.h"
#include "tensor/codec.h"

namespace octavo {
namespace {

constexpr int64_t kRowGrain = 16;

// Codes of a row, one a byte.
void read_row(DType format, const std::byte* row, uint8_t* codes, int64_t n) {
  unpack_codes(info(format).bits, row, codes, n);
}

void check_codes(const Tensor& codes) {
  OCTAVO_CHECK(codes.rank() == 2 && info(codes.dtype()).bits <= 8 && codes.dim(1) % 4 == 0,
               "codes {} {} cannot be 2:4; expected a matrix of codes of 8 bits or fewer, columns "
               "a multiple of 4",
               name(codes.dtype()), to_string(codes.shape()));
}

// How much a code wants to be kept: not 0, -0, +0.
std::vector<int> ranks_of(DType format) {
  std::vector<int> ranks;
  for (uint32_t code = 0; code < 1u << info(format).bits; ++code) {
    ranks.push_back(code == 0 ? 0 : decode(format, code) == 0 ? 1 : 2);
  }
  return ranks;
}

// The places of the two that are kept, ascending, as a nibble; -1 where three want to be.
int choose(const uint8_t* four, const std::vector<int>& ranks) {
  int first = -1, second = -1, count = 0;
  for (int want = 2; want >= 0; --want) {
    for (int i = 0; i < 4; ++i) {
      if (ranks[four[i]] != want) continue;
      if (want == 2 && ++count > 2) return -1;
      if (first < 0) {
        first = i;
      } else if (second < 0) {
        second = i;
      }
    }
  }
  return std::min(first, second) | std::max(first, second) << 2;
}

void pack_row(const uint8_t* codes, int64_t groups, const std::vector<int>& ranks, int64_t row,
              uint8_t* kept, uint8_t* nibbles) {
  for (int64_t g = 0; g < groups; ++g) {
    const uint8_t* four = codes + 4 * g;
    const int places = choose(four, ranks);
    OCTAVO_CHECK(places >= 0, "codes [{}, {}] to [{}, {}]: more than two of four are not 0", row,
                 4 * g, row, 4 * g + 3);
    kept[2 * g] = four[places & 3];
    kept[2 * g + 1] = four[places >> 2];
    nibbles[g] = static_cast<uint8_t>(places);
  }
}

}  // namespace

Shape two_of_four_kept_shape(int64_t rows, int64_t cols) { return {rows, cols / 2}; }
Shape two_of_four_index_shape(int64_t rows, int64_t cols) { return {rows, (cols / 4 + 1) / 2}; }

TwoOfFour pack_two_of_four(const Tensor& codes) {
  check_codes(codes);
  const DType format = codes.dtype();
  const int64_t rows = codes.dim(0), cols = codes.dim(1), groups = cols / 4;
  TwoOfFour sparse{Tensor::empty(format, two_of_four_kept_shape(rows, cols)),
                   Tensor::zeros(DType::u8, two_of_four_index_shape(rows, cols))};
  const std::vector<int> ranks = ranks_of(format);
  const int64_t from_step = row_bytes(format, cols), to_step = row_bytes(format, cols / 2);
  const auto* from = static_cast<const std::byte*>(codes.data());
  auto* to = static_cast<std::byte*>(sparse.kept.mutable_data());
  auto* indices = sparse.indices.as_mutable<uint8_t>();
  parallel_for(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> row(static_cast<size_t>(cols)), kept(row.size() / 2),
        nibbles(row.size() / 4);
    for (int64_t r = begin; r < end; ++r) {
      read_row(format, from + r * from_step, row.data(), cols);
      pack_row(row.data(), groups, ranks, r, kept.data(), nibbles.data());
      pack_codes(info(format).bits, kept.data(), to + r * to_step, cols / 2);
      pack_codes(4, nibbles.data(), indices + r * sparse.indices.dim(1), groups);
    }
  });
  return sparse;
}

Tensor expand_two_of_four(const TwoOfFour& sparse, int64_t cols) {
  const DType format = sparse.kept.dtype();
  const int64_t rows = sparse.kept.dim(0), groups = cols / 4;
  OCTAVO_CHECK(cols % 4 == 0 && sparse.kept.shape() == two_of_four_kept_shape(rows, cols) &&
                   sparse.indices.dtype() == DType::u8 &&
                   sparse.indices.shape() == two_of_four_index_shape(rows, cols),
               "kept codes {} and indices {} are not those of {} columns",
               to_string(sparse.kept.shape()), to_string(sparse.indices.shape()), cols);
  Tensor codes = Tensor::empty(format, {rows, cols});
  const int64_t from_step = row_bytes(format, cols / 2), to_step = row_bytes(format, cols);
  const auto* from = static_cast<const std::byte*>(sparse.kept.data());
  auto* to = static_cast<std::byte*>(codes.mutable_data());
  parallel_for(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> row(static_cast<size_t>(cols)), kept(row.size() / 2),
        nibbles(row.size() / 4);
    for (int64_t r = begin; r < end; ++r) {
      read_row(format, from + r * from_step, kept.data(), cols / 2);
      unpack_codes(4, sparse.indices.as<uint8_t>() + r * sparse.indices.dim(1), nibbles.data(),
                   groups);
      std::fill(row.begin(), row.end(), uint8_t{0});
      for (int64_t g = 0; g < groups; ++g) {
        const int first = nibbles[g] & 3, second = nibbles[g] >> 2;
        OCTAVO_CHECK(first < second, "indices [{}, {}]: places {} and {} of four do not ascend", r,
                     g, first, second);
        row[4 * g + first] = kept[2 * g];
        row[4 * g + second] = kept[2 * g + 1];
      }
      pack_codes(info(format).bits, row.data(), to + r * to_step, cols);
    }
  });
  return codes;
}

}  // namespace octavo
