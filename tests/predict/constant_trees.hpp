// SPDX-License-Identifier: Apache-2.0
#pragma once
// Trees that know one number, for tests of what is done with trees.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "ports/trees.hpp"

namespace umbra::predict::test {

/// Trees that say the same of every row: what they were grown on, on average.
class Constant final : public ports::Trees {
 public:
  explicit Constant(float value) : m_value(value) {}
  std::vector<float> values(const ports::Matrix& features, std::span<const float> from) const override {
    std::vector<float> all(features.rows, m_value);
    for (std::size_t i = 0; i < from.size(); ++i) all[i] += from[i];
    return all;
  }
  std::vector<std::byte> save() const override {
    std::vector<std::byte> bytes(sizeof m_value);
    std::memcpy(bytes.data(), &m_value, sizeof m_value);
    return bytes;
  }

 private:
  float m_value;
};

class ConstantGrower final : public ports::TreeGrower {
 public:
  std::unique_ptr<ports::Trees> grow(const ports::Matrix&, std::span<const float> labels, std::span<const float> from,
                                     const ports::Objective&, const ports::Growth&) const override {
    double rate = 0;
    double before = 0;
    for (const float label : labels) rate += label;
    for (const float one : from) before += one;
    rate /= static_cast<double>(labels.size());
    before /= std::max(1.0, static_cast<double>(from.size()));
    return std::make_unique<Constant>(static_cast<float>(std::log(rate / (1 - rate)) - before));
  }
  std::unique_ptr<ports::Trees> load(std::span<const std::byte> saved) const override {
    float value = 0;
    std::memcpy(&value, saved.data(), sizeof value);
    return std::make_unique<Constant>(value);
  }
};

}  // namespace umbra::predict::test
