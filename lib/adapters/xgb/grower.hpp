// SPDX-License-Identifier: Apache-2.0
#pragma once
// XGBoost behind the port of the trees.

#include "ports/trees.hpp"

namespace umbra::xgb {

/// Trains on two threads: how rows are drawn depends on their number, which is why it is not the machine's. Predicts on
/// the caller's, with others from 16,384 rows.
class Grower final : public ports::TreeGrower {
 public:
  std::unique_ptr<ports::Trees> grow(const ports::Matrix& features, std::span<const float> labels,
                                     std::span<const float> start, const ports::Objective& objective,
                                     const ports::Growth& growth) const override;
  std::unique_ptr<ports::Trees> load(std::span<const std::byte> saved) const override;
};

}  // namespace umbra::xgb
