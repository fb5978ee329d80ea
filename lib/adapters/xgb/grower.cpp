// SPDX-License-Identifier: Apache-2.0
#include "adapters/xgb/grower.hpp"

#include <fmt/core.h>

#include <utility>

#include "adapters/xgb/booster.hpp"

namespace umbra::xgb {
namespace {

class GrownTrees final : public ports::Trees {
 public:
  explicit GrownTrees(Booster booster) : m_booster(std::move(booster)) {}
  std::vector<float> values(const ports::Matrix& features, std::span<const float> start) const override {
    return m_booster.predict(features, start);
  }
  std::vector<std::byte> save() const override { return m_booster.save(); }

 private:
  Booster m_booster;
};

/// The pinball loss has no second derivative; with 1 in its place a leaf moves by the share of its rows that lie on the
/// wrong side, which is never more than they are off by much: figures are fractions.
Gradient pinball_gradient(std::span<const float> labels, double quantile) {
  return [labels, quantile](std::span<const float> values, std::span<float> first, std::span<float> second) {
    const auto under = static_cast<float>(-quantile);
    const auto over = static_cast<float>(1 - quantile);
    for (std::size_t i = 0; i < values.size(); ++i) {
      first[i] = labels[i] > values[i] ? under : over;
      second[i] = 1;
    }
  };
}

/// XGBoost's way to say which way a column may move the value: "(0,0,-1)".
std::string constraints(std::size_t columns, std::size_t falling) {
  std::string text = "(";
  for (std::size_t i = 0; i < columns; ++i) text += i + falling < columns ? "0," : "-1,";
  text.back() = ')';
  return text;
}

TrainOptions options_of(const ports::Growth& growth, std::size_t columns) {
  TrainOptions options;
  options.params = {{"tree_method", "hist"},
                    {"max_depth", std::to_string(growth.depth)},
                    {"eta", fmt::format("{}", growth.eta)},
                    {"min_child_weight", fmt::format("{}", growth.least_weight)},
                    {"lambda", fmt::format("{}", growth.ridge)},
                    {"subsample", fmt::format("{}", growth.row_share)},
                    {"colsample_bytree", fmt::format("{}", growth.column_share)}};
  if (growth.falling > 0) options.params["monotone_constraints"] = constraints(columns, growth.falling);
  options.rounds = growth.rounds;
  options.seed = growth.seed;
  options.threads = 2;
  return options;
}

}  // namespace

std::unique_ptr<ports::Trees> Grower::grow(const ports::Matrix& features, std::span<const float> labels,
                                           std::span<const float> start, const ports::Objective& objective,
                                           const ports::Growth& growth) const {
  TrainOptions options = options_of(growth, features.columns);
  options.start = start;
  if (objective.kind == ports::Objective::Kind::log_odds) {
    options.params["objective"] = "binary:logistic";
  } else {
    options.params["objective"] = "reg:squarederror";  // for the link alone, of which it has none
    options.params["base_score"] = "0";
    options.gradient = pinball_gradient(labels, objective.quantile);
  }
  return std::make_unique<GrownTrees>(Booster::train(features, labels, options));
}

std::unique_ptr<ports::Trees> Grower::load(std::span<const std::byte> saved) const {
  return std::make_unique<GrownTrees>(Booster::load(saved));
}

}  // namespace umbra::xgb
