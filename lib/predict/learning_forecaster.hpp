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

/// At each midnight (UTC), once three days are known, it sharpens the model by all windows of all VMs that have ended
/// by then; an origin is answered with what was learned at the midnight before it. So an answer depends on readings up
/// to its origin alone, whichever origins are asked and in whatever order.
class LearningForecaster final : public Forecaster {
 public:
  /// `grower` and `series` must outlive it.
  LearningForecaster(std::shared_ptr<const LoadedModel> model, const ports::TreeGrower& grower,
                     std::span<const model::Series> series, Told told);
  std::string name() const override { return m_model->values().name() + (m_has_learned ? "+learned" : ""); }
  void ask(const View& view) override;
  std::vector<Estimate> answers() override;

 private:
  TreeForecaster& known_at(model::Resource resource, double origin);
  std::shared_ptr<const LoadedModel> learned(model::Resource resource, double until);

  std::shared_ptr<const LoadedModel> m_model;
  const ports::TreeGrower& m_grower;
  std::span<const model::Series> m_series;
  Told m_told;
  bool m_has_learned = false;
  double m_first;  ///< time of the fleet's first sample
  std::map<std::pair<model::Resource, double>, TreeForecaster> m_by_midnight;
  std::vector<TreeForecaster*> m_asked;  ///< one for each question since the last answers
};

}  // namespace umbra::predict
