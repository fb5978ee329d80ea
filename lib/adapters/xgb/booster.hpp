// SPDX-License-Identifier: Apache-2.0
#pragma once
// xgb: gradient-boosted trees over XGBoost's C interface. Knows no VM and no file: matrices and model bytes in and out.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ports/trees.hpp"

namespace umbra::xgb {

using ports::Matrix;

/// Sets, for each row, the first and second derivative of the loss where the ensemble gives `values`.
using Gradient = std::function<void(std::span<const float> values, std::span<float> first, std::span<float> second)>;

struct TrainOptions {
  std::map<std::string, std::string> params{};  ///< as XGBoost names them: "max_depth", "objective"
  unsigned rounds = 100;
  std::uint32_t seed = 1;
  unsigned threads = 1;            ///< drawing rows and columns depends on it
  std::span<const float> start{};  ///< what each row begins at, before the objective's link; empty: nothing
  Gradient gradient{};             ///< of a loss that XGBoost does not know
};

/// A trained model. Move-only. Errors: Kind::invalid for shapes that do not fit or parameters that XGBoost refuses.
class Booster {
 public:
  static Booster train(const Matrix& features, std::span<const float> labels, const TrainOptions& options);
  /// Kind::corrupt where `model` is no whole model.
  static Booster load(std::span<const std::byte> model);

  Booster(Booster&&) noexcept;
  Booster& operator=(Booster&&) noexcept;
  ~Booster();

  /// One value per row, before the objective's link, on top of `start` where it is given. Kind::invalid where the
  /// number of columns is not the model's. Many rows are shared between threads; threads may call it at once.
  std::vector<float> predict(const Matrix& features, std::span<const float> start = {}) const;
  std::vector<std::byte> save() const;
  std::size_t columns() const;

 private:
  struct Handle;
  explicit Booster(std::unique_ptr<Handle> handle);
  std::unique_ptr<Handle> m_handle;
};

/// "1.7.4"
std::string version();

}  // namespace umbra::xgb
