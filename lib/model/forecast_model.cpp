// SPDX-License-Identifier: Apache-2.0
#include "model/forecast_model.hpp"

#include <algorithm>

#include "model/record_json.hpp"

namespace umbra::model {
namespace {

Correction correction_from(const Json& json) {
  Correction c{required<std::vector<double>>(json, "from"), required<std::vector<double>>(json, "to")};
  const bool rises = std::adjacent_find(c.from.begin(), c.from.end(), std::greater_equal<>{}) == c.from.end() &&
                     std::is_sorted(c.to.begin(), c.to.end());
  if (c.from.size() != c.to.size() || !rises) {
    throw base::Error(base::Kind::invalid, "a correction does not rise from value to value");
  }
  return c;
}

}  // namespace

double Correction::operator()(double x) const {
  if (from.empty()) return x;
  if (x <= from.front()) return to.front() + (x - from.front());
  if (x >= from.back()) return to.back() + (x - from.back());
  const auto above = std::upper_bound(from.begin(), from.end(), x);
  const auto i = static_cast<std::size_t>(above - from.begin());
  const double part = (x - from[i - 1]) / (from[i] - from[i - 1]);
  return to[i - 1] + part * (to[i] - to[i - 1]);
}

Json to_json(const ForecastModel& model) {
  Json layers = Json::array();
  for (const ForecastLayer& layer : model.layers)
    layers.push_back({{"name", layer.name}, {"weight", layer.weight}, {"training", layer.training}});
  return {{"features", model.features},
          {"layers", layers},
          {"log_odds", {{"from", model.log_odds.from}, {"to", model.log_odds.to}}},
          {"peak_ranks", model.peak_ranks},
          {"scores", model.scores}};
}

ForecastModel forecast_model_from(const Json& json) {
  ForecastModel model;
  model.features = required<std::vector<std::string>>(json, "features");
  for (const Json& layer : required<Json>(json, "layers")) {
    auto& added = model.layers.emplace_back();
    added.name = required<std::string>(layer, "name");
    added.weight = required<double>(layer, "weight");
    if (!(added.weight > 0 && added.weight <= 1))
      throw base::Error(base::Kind::invalid, "a layer's weight is not within 0..1");
    added.training = required<Json>(layer, "training");
  }
  if (model.layers.empty()) throw base::Error(base::Kind::invalid, "the model has no layer");
  model.log_odds = correction_from(required<Json>(json, "log_odds"));
  model.peak_ranks = required<decltype(model.peak_ranks)>(json, "peak_ranks");
  model.scores = required<Json>(json, "scores");
  return model;
}

}  // namespace umbra::model
