#include "quant/gptq.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/threads.h"

namespace octavo {
namespace {

constexpr int64_t kRows = 32;    // of the weight, worked on together: one vector of the inner loops
constexpr int64_t kBlock = 64;   // columns between updates of the rest; a multiple of 4
constexpr int kRefinements = 2;  // refit and descent, each so often
constexpr int kSweeps = 2;       // of a descent
// A refitted scale further off than this is of a tile with next to no say.
constexpr float kLeastRatio = 0.3f, kMostRatio = 3;

// What all rows share.
struct Quadratic {
  Matrix hessian;              // [cols, cols]
  Vector diagonal;             // its
  std::vector<int64_t> order;  // of rounding: place -> column
  Matrix factor;               // upper U, H^-1 = U^T U, of the columns in that order
};

// With P the reversal of the columns and P H P = L L^T:  H^-1 = U^T U,  U = (P L P)^-1.
Matrix inverse_factor(const MatrixD& hessian) {
  const MatrixD reversed = hessian.reverse();
  const Eigen::LLT<MatrixD> llt(reversed);
  OCTAVO_CHECK_CODE(not_finite, llt.info() == Eigen::Success,
                    "the inputs' second moments are not positive definite after damping");
  const MatrixD lower = llt.matrixL();
  const MatrixD upper = lower.reverse();
  return upper.triangularView<Eigen::Upper>()
      .solve(MatrixD::Identity(upper.rows(), upper.cols()))
      .cast<float>();
}

Quadratic make_quadratic(const MatrixD& h, bool by_importance) {
  Quadratic q;
  q.hessian = h.cast<float>();
  q.diagonal = h.diagonal().cast<float>();
  q.order.resize(static_cast<size_t>(h.rows()));
  std::iota(q.order.begin(), q.order.end(), 0);
  if (by_importance) {
    std::stable_sort(q.order.begin(), q.order.end(),
                     [&](int64_t a, int64_t b) { return h(a, a) > h(b, b); });
  }
  MatrixD ordered(h.rows(), h.cols());
  for (int64_t i = 0; i < h.rows(); ++i) {
    for (int64_t j = 0; j < h.cols(); ++j) {
      ordered(i, j) = h(q.order[static_cast<size_t>(i)], q.order[static_cast<size_t>(j)]);
    }
  }
  q.factor = inverse_factor(ordered);
  return q;
}

// Some rows of the weight, transposed: a column of the weight is a row here, so that the inner
// loops run over the weight's rows, which do not depend on each other.
class RowBlock {
 public:
  RowBlock(const Matrix& weight, const Quadratic& quadratic, const WeightGrid& grid,
           const Mask& mask, int64_t begin, int64_t end)
      : q_(quadratic), grid_(grid), begin_(begin), n_(end - begin) {
    target_ = weight.middleRows(begin, n_).transpose();
    if (mask.size() != 0) keep_ = mask.middleRows(begin, n_).transpose();
    scale_.resize(grid.col_tiles(), n_);
    zero_.resize(grid.col_tiles(), n_);
    for (int64_t t = 0; t < grid.col_tiles(); ++t) {
      for (int64_t r = 0; r < n_; ++r) {
        const int64_t tile = tile_of(t, r);
        scale_(t, r) = grid.scale(tile);
        zero_(t, r) = grid.zero(tile);
      }
    }
    codes_.resize(target_.rows(), n_);
    values_.resize(target_.rows(), n_);
  }

  void run(bool prune_two_of_four) {
    feed_back(prune_two_of_four);
    const Matrix codes = codes_, values = values_, scale = scale_;
    round_plainly();
    const Matrix plain_codes = codes_;
    const Vector plain = errors();
    codes_ = codes;
    values_ = values;
    for (int i = 0; i < kRefinements; ++i) {
      if (grid_.is_per_row()) refit();
      descend();
    }
    const Vector refined = errors();
    for (int64_t r = 0; r < n_; ++r) {
      if (refined[r] < plain[r]) continue;
      codes_.col(r) = plain_codes.col(r);
      scale_.col(r) = scale.col(r);
    }
  }

  // Into the results of all rows; blocks write apart from each other.
  void store(Matrix& codes, WeightGrid& grid, Mask& mask) const {
    codes.middleRows(begin_, n_) = codes_.transpose();
    if (keep_.size() != 0) mask.middleRows(begin_, n_) = keep_.transpose();
    if (!grid.is_per_row()) return;
    for (int64_t t = 0; t < grid.col_tiles(); ++t) {
      for (int64_t r = 0; r < n_; ++r) grid.set_scale(tile_of(t, r), scale_(t, r));
    }
  }

 private:
  int64_t tile_of(int64_t col_tile, int64_t r) const {
    return grid_.tile(begin_ + r, 0) + col_tile;
  }
  int64_t cols() const { return target_.rows(); }

  // Rounds `wanted`, one value a row, as column `col`; writes its codes and values.
  void round_column(int64_t col, Vector& wanted) {
    const int64_t t = col / grid_.tile_cols();
    grid_.round(wanted.data(), scale_.row(t).data(), zero_.row(t).data(), n_);
    for (int64_t r = 0; r < n_; ++r) {
      const float code = keep_.size() != 0 && keep_(col, r) == 0 ? zero_(t, r) : wanted[r];
      codes_(col, r) = code;
      values_(col, r) = (code - zero_(t, r)) * scale_(t, r);
    }
  }

  void round_plainly() {
    for (int64_t col = 0; col < cols(); ++col) {
      Vector wanted = target_.row(col);
      round_column(col, wanted);
    }
  }

  // Of the columns [place, place + 4), two are kept in each row.
  void prune(const Matrix& left, int64_t place) {
    for (int64_t r = 0; r < n_; ++r) {
      int order[4] = {0, 1, 2, 3};
      float cost[4];
      for (int i = 0; i < 4; ++i) {
        const float w = left(place + i, r) / q_.factor(place + i, place + i);
        cost[i] = w * w;
      }
      std::stable_sort(order, order + 4, [&](int a, int b) { return cost[a] < cost[b]; });
      for (int i = 0; i < 4; ++i) keep_(place + order[i], r) = i >= 2;
    }
  }

  void feed_back(bool prune_two_of_four) {
    Matrix left(cols(), n_), error(kBlock, n_);
    for (int64_t i = 0; i < cols(); ++i) left.row(i) = target_.row(column(i));
    if (prune_two_of_four) keep_.setOnes(cols(), n_);
    for (int64_t begin = 0; begin < cols(); begin += kBlock) {
      const int64_t end = std::min(cols(), begin + kBlock), rest = cols() - end;
      for (int64_t i = begin; i < end; ++i) {
        if (prune_two_of_four && i % 4 == 0) prune(left, i);
        Vector wanted = left.row(i);
        round_column(column(i), wanted);
        error.row(i - begin) = (left.row(i) - values_.row(column(i))) / q_.factor(i, i);
        for (int64_t k = i + 1; k < end; ++k) left.row(k) -= q_.factor(i, k) * error.row(i - begin);
      }
      if (rest == 0) break;
      left.bottomRows(rest).noalias() -=
          q_.factor.block(begin, end, end - begin, rest).transpose() * error.topRows(end - begin);
    }
  }

  int64_t column(int64_t place) const { return q_.order[static_cast<size_t>(place)]; }

  Matrix gradient() const { return q_.hessian * (values_ - target_); }
  Vector errors() const { return (values_ - target_).cwiseProduct(gradient()).colwise().sum(); }

  void descend() {
    for (int sweep = 0; sweep < kSweeps; ++sweep) {
      Matrix slope = gradient();
      for (int64_t begin = 0; begin < cols(); begin += kBlock) {
        const int64_t n = std::min(kBlock, cols() - begin);
        const Matrix moved = descend_block(slope.middleRows(begin, n), begin, n);
        if (moved.isZero(0)) continue;
        slope.noalias() += q_.hessian.middleCols(begin, n) * moved;
      }
    }
  }

  // The change of the values of columns [begin, begin + n).
  Matrix descend_block(Matrix slope, int64_t begin, int64_t n) {
    Matrix moved(n, n_);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t col = begin + i;
      const Vector old = values_.row(col);
      Vector wanted = old - slope.row(i).transpose() / q_.diagonal[col];
      round_column(col, wanted);
      moved.row(i) = values_.row(col) - old.transpose();
      if (moved.row(i).isZero(0)) continue;
      for (int64_t k = i + 1; k < n; ++k) {
        slope.row(k) += q_.hessian(begin + k, col) * moved.row(i);
      }
    }
    return moved;
  }

  // Scales of least squares under H for the codes as they are; a row keeps its old ones where the
  // storable ones do not lessen its error.
  void refit() {
    const int64_t tiles = grid_.col_tiles(), size = grid_.tile_cols();
    Matrix steps(cols(), n_);  // values = steps * scale
    for (int64_t c = 0; c < cols(); ++c) steps.row(c) = codes_.row(c) - zero_.row(c / size);
    std::vector<MatrixD> normal(static_cast<size_t>(n_), MatrixD(tiles, tiles));
    MatrixD right(tiles, n_);
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t n = std::min(size, cols() - t * size);
      const Matrix weighted = q_.hessian.middleCols(t * size, n) * steps.middleRows(t * size, n);
      right.row(t) = weighted.cwiseProduct(target_).colwise().sum().cast<double>();
      const Matrix products = weighted.cwiseProduct(steps);
      for (int64_t u = 0; u < tiles; ++u) {
        const int64_t m = std::min(size, cols() - u * size);
        const Vector sums = products.middleRows(u * size, m).colwise().sum();
        for (int64_t r = 0; r < n_; ++r) normal[static_cast<size_t>(r)](t, u) = sums[r];
      }
    }
    const Vector before = errors();
    const Matrix old_scale = scale_, old_values = values_;
    for (int64_t r = 0; r < n_; ++r) fit_row(r, normal[static_cast<size_t>(r)], right.col(r));
    for (int64_t c = 0; c < cols(); ++c) {
      values_.row(c) = steps.row(c).cwiseProduct(scale_.row(c / size));
    }
    const Vector after = errors();
    for (int64_t r = 0; r < n_; ++r) {
      if (after[r] < before[r]) continue;
      scale_.col(r) = old_scale.col(r);
      values_.col(r) = old_values.col(r);
    }
  }

  void fit_row(int64_t r, const MatrixD& normal, const VectorD& right) {
    constexpr double kRidge = 1e-6;
    MatrixD a = normal;
    a.diagonal().array() += kRidge * normal.diagonal().mean() + 1e-30;
    const VectorD fitted = a.ldlt().solve(right);
    for (int64_t t = 0; t < grid_.col_tiles(); ++t) {
      const float scale = static_cast<float>(fitted[t]), ratio = scale / scale_(t, r);
      if (!(ratio >= kLeastRatio && ratio <= kMostRatio) || normal(t, t) == 0) continue;
      scale_(t, r) = grid_.storable(tile_of(t, r), scale);
    }
  }

  const Quadratic& q_;
  const WeightGrid& grid_;
  int64_t begin_, n_;
  Matrix target_, codes_, values_;  // [cols, rows of the block]
  Matrix scale_, zero_;             // [column tiles, rows of the block]
  Mask keep_;                       // as target_, or empty
};

}  // namespace

MatrixD damped(const MatrixD& hessian, double damping) {
  MatrixD h = 0.5 * (hessian + hessian.transpose());
  const double mean = h.rows() == 0 ? 0 : h.diagonal().mean();
  h.diagonal().array() += mean > 0 ? damping * mean : 1.0;
  return h;
}

Matrix gptq_round(const Matrix& weight, const MatrixD& hessian, WeightGrid& grid, Mask& mask,
                  bool prune_two_of_four) {
  OCTAVO_ASSERT(hessian.rows() == weight.cols() && hessian.cols() == weight.cols());
  OCTAVO_ASSERT(!prune_two_of_four || weight.cols() % 4 == 0);
  const Quadratic quadratic = make_quadratic(hessian, !prune_two_of_four);
  Matrix codes(weight.rows(), weight.cols());
  if (prune_two_of_four) mask.resize(weight.rows(), weight.cols());
  parallel_for(weight.rows(), kRows, [&](int64_t begin, int64_t end) {
    RowBlock block(weight, quadratic, grid, mask, begin, end);
    block.run(prune_two_of_four);
    block.store(codes, grid, mask);
  });
  return codes;
}

VectorD output_errors(const Matrix& weight, const Matrix& values, const MatrixD& hessian) {
  const MatrixD error = (weight - values).cast<double>();
  return (error * hessian).cwiseProduct(error).rowwise().sum();
}

}  // namespace octavo
