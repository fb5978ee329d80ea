// SPDX-License-Identifier: Apache-2.0
#pragma once
// Gradient-boosted trees: what turns rows of features into a number each.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace umbra::ports {

/// Row-major values that the caller keeps alive; NaN is a missing value.
struct Matrix {
  std::span<const float> values;
  std::size_t rows = 0;
  std::size_t columns = 0;
};

/// What the trees are fitted to.
struct Objective {
  enum class Kind { log_odds, quantile } kind = Kind::log_odds;
  double quantile = 0.5;  ///< of Kind::quantile, by the pinball loss (Koenker & Bassett 1978)
};

struct Growth {
  unsigned rounds = 200;
  unsigned depth = 5;
  double eta = 0.06;
  double least_weight = 50;   ///< of the rows in a leaf
  double ridge = 1;           ///< L2 penalty on what a leaf says
  double row_share = 0.5;     ///< drawn for each tree
  double column_share = 0.3;  ///< drawn for each tree
  std::uint32_t seed = 1;
  std::size_t falling = 0;  ///< the last so many columns can only lower the value as they rise
};

/// A trained ensemble. Threads may ask it at the same time.
class Trees {
 public:
  virtual ~Trees() = default;
  /// One value per row: log odds, or the quantile. `start` is what the ensemble was grown on top of, one value per row;
  /// empty: nothing. Kind::invalid where the shapes differ.
  virtual std::vector<float> values(const Matrix& features, std::span<const float> start) const = 0;
  virtual std::vector<std::byte> save() const = 0;
};

/// Same data, growth and start give the same trees, byte by byte, on any machine with the same library.
class TreeGrower {
 public:
  virtual ~TreeGrower() = default;
  /// `labels`: 0 or 1 for log odds, else the figure whose quantile is learned; one per row, as is `start` where given.
  virtual std::unique_ptr<Trees> grow(const Matrix& features, std::span<const float> labels,
                                      std::span<const float> start, const Objective& objective,
                                      const Growth& growth) const = 0;
  /// Kind::corrupt where `saved` is no whole ensemble.
  virtual std::unique_ptr<Trees> load(std::span<const std::byte> saved) const = 0;
};

}  // namespace umbra::ports
