// SPDX-License-Identifier: Apache-2.0
#pragma once
// A forecaster that goes on learning from the fleet whose past it walks through.

#include <map>
#include <memory>
#include <span>
#include <tuple>
#include <vector>

#include "predict/growing.hpp"
#include "predict/tree_forecaster.hpp"

namespace umbra::predict {

/// Lessons fall on hours of the clock (UTC), every sixth at first, then midnights and ever more rarely: by all windows
/// of all VMs that have ended by then, under the question that is asked, it sharpens the model, and an origin is
/// answered with what the last lesson before it gave. So an answer depends on readings up to its origin alone,
/// whichever origins are asked and in whatever order.
class LearningForecaster final : public Forecaster {
 public:
  /// `grower` and `series` must outlive it.
  LearningForecaster(std::shared_ptr<const LoadedModel> model, const ports::TreeGrower& grower,
                     std::span<const model::Series> series, Told told);
  std::string name() const override { return m_model->values().name(); }
  void ask(const View& view) override;
  std::vector<Estimate> answers() override;

 private:
  struct Lesson {
    TreeForecaster forecaster;
    bool is_due;
    bool is_early;  ///< of a fleet's first days
    bool has_taught = false;
  };
  /// Resource, up to when it looks, window in seconds, threshold.
  using Key = std::tuple<model::Resource, double, double, double>;
  void learn(Lesson& lesson, const Key& key) const;

  std::shared_ptr<const LoadedModel> m_model;
  const ports::TreeGrower& m_grower;
  std::span<const model::Series> m_series;
  Told m_told;
  std::vector<double> m_beginnings;  ///< of the fleet's readings, and anew after a gap of months
  std::map<Key, Lesson> m_lessons;
  std::vector<Key> m_asked;  ///< one for each question since the last answers
};

}  // namespace umbra::predict
