// SPDX-License-Identifier: Apache-2.0
#pragma once
// The trained model at work.

#include <array>
#include <memory>
#include <optional>

#include "model/forecast_model.hpp"
#include "ports/trees.hpp"
#include "predict/estimate.hpp"
#include "predict/line.hpp"
#include "predict/peak.hpp"

namespace umbra::predict {

/// What the trees of every layer add up to, before corrections.
struct Sums {
  std::vector<float> log_odds;  ///< of saturation
  std::vector<float> peak;      ///< log odds that each rung of each row's ladder is reached
  std::array<std::vector<float>, model::learned_quantiles.size()> first;  ///< windows
};

/// A model whose trees are loaded. Copies share them.
class LoadedModel {
 public:
  /// Kind::unsupported where the model's features are not this program's, Kind::corrupt where its first layer lacks a
  /// part.
  LoadedModel(const model::ForecastModel& model, const ports::TreeGrower& grower);
  /// The same with one more layer on top.
  LoadedModel with(const model::ForecastLayer& layer, const ports::TreeGrower& grower) const;
  /// Without the bytes of its trees.
  const model::ForecastModel& values() const { return m_model; }
  /// `features` as append_features() gives them.
  Sums sums(const ports::Matrix& features) const;
  /// One part of the sums alone, to grow a layer on.
  std::vector<float> log_odds(const ports::Matrix& features) const;
  std::vector<float> peak_log_odds(const ports::Matrix& levels) const;  ///< a course and LevelColumns a row
  std::vector<float> first(const ports::Matrix& features, std::size_t quantile) const;
  /// Corrected, in order, and between 0 and what the resource can reach.
  Estimate estimate(const Sums& sums, const ports::Matrix& features, std::size_t row, double ceiling,
                    double window_s) const;

 private:
  struct Weighed {
    std::shared_ptr<const ports::Trees> trees;
    float weight;
  };
  using Layers = std::vector<Weighed>;
  static std::vector<float> summed(const Layers& layers, const ports::Matrix& features);
  void load(const model::ForecastLayer& layer, const ports::TreeGrower& grower);
  model::ForecastModel m_model;
  Layers m_saturation;
  Layers m_peak;
  std::array<Layers, model::learned_quantiles.size()> m_first;
  LevelColumns m_levels;
};

/// Trees, and beside them the line through the newest readings where there is one, and what stands still.
class TreeForecaster final : public Forecaster {
 public:
  explicit TreeForecaster(std::shared_ptr<const LoadedModel> model) : m_model(std::move(model)) {}
  /// Answers come from that one from now on, also to what was asked before.
  void use(std::shared_ptr<const LoadedModel> model) { m_model = std::move(model); }
  std::string name() const override { return m_model->values().name(); }
  void ask(const View& view) override;
  std::vector<Estimate> answers() override;

 private:
  struct Question {
    double ceiling;
    double window_s;
    double step_s;       ///< of its past
    double stays_above;  ///< p_saturation is no less
    std::optional<LineSays> line{};
  };
  std::shared_ptr<const LoadedModel> m_model;
  std::vector<float> m_features;
  std::vector<Question> m_questions;
};

}  // namespace umbra::predict
