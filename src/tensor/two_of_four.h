#pragma once
// Storage of 2:4 sparse codes: of any four neighbours in a row of the weight's matrix at most two
// are not 0. Kept are two codes of each four and where they stand:
//   kept     codes [rows, cols / 2], rows packed as codes of fewer than 8 bits are
//   indices  u8 [rows, (cols / 4 + 1) / 2]: a nibble for four codes, the first four's low; its low
//            two bits are the place of the first kept one, its high two bits that of the second
// Places ascend, so a row's nibbles in order are the metadata that PTX's mma.sp reads for 8- and
// 16-bit operands; CUTLASS and cuSPARSELt reorder whole nibbles of it for their tiles. Bits a
// weight: half those of the format and one.
#include "tensor/tensor.h"

namespace octavo {

struct TwoOfFour {
  Tensor kept, indices;
};

// Shapes of both for a rows x cols matrix of codes of `format`; cols is a multiple of 4.
Shape two_of_four_kept_shape(int64_t rows, int64_t cols);
Shape two_of_four_index_shape(int64_t rows, int64_t cols);

// codes: [rows, cols] of 8 bits or fewer. Codes of -0 are 0 too, but kept before those of +0 where
// there is room, so that what was +0 stays +0. Error{invalid_argument} names the first four with
// more than two that are not 0.
TwoOfFour pack_two_of_four(const Tensor& codes);
// [rows, cols]. Error{invalid_argument} where two places of four do not ascend.
Tensor expand_two_of_four(const TwoOfFour& sparse, int64_t cols);

}  // namespace octavo
