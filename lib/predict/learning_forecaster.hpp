// SPDX-License-Identifier: Apache-2.0
#pragma once
// A forecaster that goes on learning from the fleet whose past it walks through.

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "predict/growing.hpp"
#include "predict/tree_forecaster.hpp"

namespace umbra::predict {

/// Lessons fall on midnights (UTC), from the third day on and ever more rarely: by all windows of all VMs that have
/// ended by then it sharpens the model, and an origin is answered with what the last lesson before it gave. So an
/// answer depends on readings up to its origin alone, whichever origins are asked and in whatever order.
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
    bool has_taught = false;
  };
  void learn(Lesson& lesson, model::Resource resource, double until) const;

  std::shared_ptr<const LoadedModel> m_model;
  const ports::TreeGrower& m_grower;
  std::span<const model::Series> m_series;
  Told m_told;
  std::vector<double> m_beginnings;                ///< of the fleet's readings, and anew after a gap of months
  using Key = std::pair<model::Resource, double>;  ///< and up to when it looks
  std::map<Key, Lesson> m_lessons;
  std::vector<Key> m_asked;  ///< one for each question since the last answers
};

}  // namespace umbra::predict
