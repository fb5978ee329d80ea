// SPDX-License-Identifier: Apache-2.0
#include "predict/stillness.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "predict/constant_trees.hpp"
#include "predict/tree_forecaster.hpp"

namespace {

using namespace umbra;
using namespace umbra::predict;

constexpr double window = 600;

struct Readings {
  explicit Readings(std::initializer_list<double> values, double step = 60, double threshold = 0.9)
      : crossings(threshold, window) {
    double time = 1.7e9;
    for (const double value : values) past.append(time += step, value, value);
    crossings.follow(past);
  }
  View view() const { return {past, crossings, nullptr, model::Resource::gpu_memory}; }
  Past past;
  Crossings crossings;
};

/// What a forecaster tells whose trees say `p` of everything.
double told(const Readings& readings, double p) {
  const test::ConstantGrower grower;
  const auto trees = test::Constant(static_cast<float>(std::log(p / (1 - p)))).save();
  model::ForecastModel model;
  model.features = feature_names();
  model.layers.push_back({"constant", 1, {}, trees, trees, {trees, trees, trees}});
  TreeForecaster forecaster(std::make_shared<const LoadedModel>(model, grower));
  forecaster.ask(readings.view());
  return forecaster.answers().front().p_saturation;
}

}  // namespace

TEST_CASE("what stands still above the threshold is the likelier to stay, the longer it has stood") {
  CHECK(stays_above(Readings({0.4, 0.95, 0.95, 0.95}).view()) == Approx(3.0 / 4));
  CHECK(stays_above(Readings({0.4, 0.95, 0.95, 0.95, 0.95}).view()) == Approx(4.0 / 5));
  CHECK(stays_above(Readings({0.4, 0.9, 0.9, 0.9}).view()) == Approx(3.0 / 4));  // the threshold itself is reached
  Readings long_since({0.95});
  for (int i = 1; i <= 5000; ++i) long_since.past.append(1.7e9 + 60 * (i + 1), 0.95, 0.95);
  CHECK(stays_above(long_since.view()) > 0.99);
}

TEST_CASE("nothing is told of what moves, lies below, or is not due to be read within the window") {
  CHECK(stays_above(Readings({0.95, 0.95, 0.96}).view()) == 0);
  CHECK(stays_above(Readings({0.95}).view()) == 0);
  CHECK(stays_above(Readings({0.94, 0.95, 0.95}).view()) == 0);  // alike by chance, perhaps
  CHECK(stays_above(Readings({0.89, 0.89, 0.89}).view()) == 0);
  CHECK(stays_above(Readings({0.95, 0.95, 0.95}, 2 * window).view()) == 0);
}

TEST_CASE("a forecast says no less than standing still does, and leaves alone what is likelier or moves") {
  CHECK(told(Readings({0.3, 0.95, 0.95, 0.95}), 0.2) == Approx(0.75));
  CHECK(told(Readings({0.3, 0.95, 0.95, 0.95}), 0.9) == Approx(0.9));
  CHECK(told(Readings({0.3, 0.94, 0.96, 0.95}), 0.2) == Approx(0.2));
  CHECK(told(Readings({0.3, 0.3, 0.3, 0.3}), 0.2) == Approx(0.2));
}
