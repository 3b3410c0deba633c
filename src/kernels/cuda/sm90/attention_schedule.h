#pragma once
// How the work of attention is dealt to thread blocks that stay. A tile is a block of queries of
// one head; it reads all key tiles. Full waves of tiles are dealt whole. What is left of each
// sample, less than a wave, is a row of tiles x key tiles that is cut into equal ranges, one a
// thread block: the pieces of a tile that a cut falls into are merged afterwards. The cuts depend
// on one sample's shape and the device, never on the batch.
#include <algorithm>
#include <cstdint>

#ifdef __CUDACC__
#define OCTAVO_HOST_DEVICE __host__ __device__
#else
#define OCTAVO_HOST_DEVICE
#endif

namespace octavo::cuda::sm90 {

// A run of key tiles of one query tile. `slot` says where its partial sums go; -1: it is whole.
struct AttentionPiece {
  int sample, tile, first_key_tile, key_tiles, slot;
};

struct AttentionSchedule {
  int blocks;     // thread blocks
  int key_tiles;  // of every tile, at least 1
  int whole;      // tiles of a sample that are dealt whole, from tile 0
  int cut;        // tiles of a sample that are cut, after those
  int ranges;     // into which those are cut, at least `cut` and at most `blocks`

  static AttentionSchedule make(int64_t tiles, int64_t key_tiles, int blocks) {
    // In key tiles' time: what a piece costs besides its own, and what the merge costs. Estimates
    // from an H200; they decide only what is faster.
    constexpr double kPiece = 2, kMerge = 3;
    constexpr int64_t kShortestRange = 3;
    const int64_t waves = tiles / blocks, left = tiles % blocks;
    const int64_t ranges =
        std::clamp<int64_t>(left * key_tiles / kShortestRange, left, int64_t{blocks});
    const double wave = static_cast<double>(key_tiles) + kPiece;
    const double uncut = static_cast<double>(waves + (left > 0)) * wave;
    const double range = left > 0 ? static_cast<double>(left * key_tiles) / ranges : 0;
    const double merged = static_cast<double>(waves) * wave + range + 2 * kPiece + kMerge;
    if (ranges == left || merged > 0.99 * uncut) {
      return {blocks, static_cast<int>(key_tiles), static_cast<int>(tiles), 0, 0};
    }
    return {blocks, static_cast<int>(key_tiles), static_cast<int>(tiles - left),
            static_cast<int>(left), static_cast<int>(ranges)};
  }

  // Of one sample; each range has two pieces at most.
  OCTAVO_HOST_DEVICE int slots() const { return 2 * ranges; }
  // The first key tile of a range, counted through all cut tiles.
  OCTAVO_HOST_DEVICE int64_t begin(int range) const {
    return int64_t{range} * cut * key_tiles / ranges;
  }
  // The range that has key tile `at`, counted the same way.
  OCTAVO_HOST_DEVICE int range_of(int64_t at) const {
    return static_cast<int>(((at + 1) * ranges - 1) / (int64_t{cut} * key_tiles));
  }
};

// The pieces of one thread block, in order.
class AttentionPieces {
 public:
  OCTAVO_HOST_DEVICE AttentionPieces(const AttentionSchedule& schedule, int samples, int block)
      : s_(schedule), samples_(samples), item_(block) {}

  OCTAVO_HOST_DEVICE bool next(AttentionPiece& piece) {
    if (!cutting_) {
      if (item_ < int64_t{samples_} * s_.whole) {
        piece = {static_cast<int>(item_ / s_.whole), static_cast<int>(item_ % s_.whole), 0,
                 s_.key_tiles, -1};
        item_ += s_.blocks;
        return true;
      }
      cutting_ = true;
      item_ %= s_.blocks;
    }
    if (item_ >= int64_t{samples_} * s_.ranges) return false;
    const int sample = static_cast<int>(item_ / s_.ranges);
    const int range = static_cast<int>(item_ % s_.ranges);
    const int64_t end = s_.begin(range + 1);
    const int64_t from = second_ > 0 ? second_ : s_.begin(range);
    const int64_t tile = from / s_.key_tiles, tile_end = (tile + 1) * s_.key_tiles;
    const int count = static_cast<int>((tile_end < end ? tile_end : end) - from);
    const int slot = static_cast<int>(2 * item_) + (second_ > 0 ? 1 : 0);
    piece = {sample, static_cast<int>(s_.whole + tile), static_cast<int>(from % s_.key_tiles),
             count, count == s_.key_tiles ? -1 : slot};
    second_ = tile_end < end ? tile_end : 0;
    if (second_ == 0) item_ += s_.blocks;
    return true;
  }

 private:
  const AttentionSchedule& s_;
  int samples_;
  int64_t item_, second_ = 0;  // second_: where the second piece of the range starts, if not 0
  bool cutting_ = false;
};

}  // namespace octavo::cuda::sm90

#undef OCTAVO_HOST_DEVICE
