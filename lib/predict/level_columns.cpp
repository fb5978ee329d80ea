// SPDX-License-Identifier: Apache-2.0
#include "predict/level_columns.hpp"

#include <algorithm>
#include <cmath>

#include "predict/features.hpp"

namespace umbra::predict {

LevelColumns::LevelColumns() {
  for (const char* name : {"highest_1", "highest_2", "highest_4", "highest_12", "highest_24", "day_highest_1",
                           "day_highest_7", "mean_1", "mean_4", "mean_12", "mean_24", "lowest_1", "back_highest_1",
                           "back_highest_2", "back_mean", "value_1", "projected_1", "projected_4"}) {
    m_below.push_back(feature_column(name));
  }
}

void LevelColumns::append(std::span<const float> course, double level, std::vector<float>& row) const {
  static const std::size_t now = feature_column("now");
  const double rise = level - static_cast<double>(course[now]);
  row.push_back(static_cast<float>(level));
  row.push_back(static_cast<float>(rise));
  row.push_back(static_cast<float>(rise / scale(course)));
  for (const std::size_t below : m_below) row.push_back(static_cast<float>(level) - course[below]);
}

double LevelColumns::scale(std::span<const float> course) const {
  static const std::size_t spread_12 = feature_column("spread_12");
  static const std::size_t spread_24 = feature_column("spread_24");
  static const std::size_t walk_4 = feature_column("walk_4");
  constexpr double least = 0.003;  // readings are no finer
  const auto known = [&](std::size_t i) { return std::isnan(course[i]) ? 0.0 : static_cast<double>(course[i]); };
  return least + std::max({known(spread_12), known(spread_24) / 2, known(walk_4)});
}

}  // namespace umbra::predict
