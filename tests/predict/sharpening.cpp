// SPDX-License-Identifier: Apache-2.0
#include "predict/sharpening.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "predict/constant_trees.hpp"
#include "predict/learning_forecaster.hpp"
#include "predict/tree_forecaster.hpp"
#include "predict/walk.hpp"

namespace {

using namespace umbra;
using namespace umbra::predict;
using test::Constant;
using test::ConstantGrower;

constexpr double step = 900;
constexpr double start = 1.7e9;  // not two hours before a midnight
constexpr double first_midnight = 19676 * day;

const ConstantGrower grower;

/// Says of everything that it saturates with that probability.
LoadedModel says(double p) {
  const auto trees = Constant(static_cast<float>(std::log(p / (1 - p)))).save();
  model::ForecastModel model;
  model.features = feature_names();
  model.layers.push_back({"ships", 1, {}, trees, trees, {trees, trees, trees}});
  return LoadedModel(model, grower);
}

std::vector<model::Series> fleet(double days, int vms = 8) {
  std::vector<model::Series> all;
  for (int vm = 0; vm < vms; ++vm) {
    Dice dice(static_cast<std::uint64_t>(vm));
    model::Series& series = all.emplace_back();
    series.vm = model::VmName("vm" + std::to_string(vm));
    for (double at = 0; at < days * day; at += step) {
      model::Sample sample;
      sample.at = instant_of(start + at);
      sample[model::Resource::cpu] = dice.share() < 0.06 ? 0.97 : 0.1 + 0.6 * dice.share();
      series.samples.push_back(sample);
    }
  }
  return all;
}

SiteLot lot_until(double until) {
  SiteLot lot;
  lot.resources = {model::Resource::cpu};
  lot.until = until;
  return lot;
}

void quiet(const std::string&) {}

double p_at(LearningForecaster& forecaster, const model::Series& series, double time, double threshold = 0.9) {
  Walk walk(series, model::Resource::cpu, {threshold, 1800});
  while (walk.next() && walk.time() < time) {
  }
  forecaster.ask(walk.view());
  return forecaster.answers().front().p_saturation;
}

}  // namespace

TEST_CASE("a layer that brings probabilities nearer to what comes is kept, at less than half its weight") {
  const auto series = fleet(6);
  const Sharpened result = sharpen(says(0.9), series, lot_until(start + 6 * day), grower, quiet);
  REQUIRE(result.layer);
  CHECK(result.layer->weight == 0.4);
  CHECK(result.after.brier < result.before.brier);
  CHECK(result.after.origins == result.before.origins);
}

TEST_CASE("what a layer has to beat is the rival, not what it stands on") {
  const auto series = fleet(6);
  const Sharpened alone = sharpen(says(0.9), series, lot_until(start + 6 * day), grower, quiet);
  const double rate = static_cast<double>(alone.after.saturations) / static_cast<double>(alone.after.origins);
  const LoadedModel right = says(rate);
  const Sharpened result = sharpen(says(0.9), series, lot_until(start + 6 * day), grower, quiet, &right);
  CHECK_FALSE(result.layer);
  CHECK(result.before.brier < alone.before.brier);
}

TEST_CASE("nothing later than the end of a lesson changes what it teaches") {
  const double until = start + 4 * day;
  auto longer = fleet(8);
  longer.push_back(longer.front());  // a VM that comes later
  longer.back().vm = model::VmName("late");
  std::erase_if(longer.back().samples, [&](const model::Sample& s) { return unix_seconds(s.at) <= until; });
  const Sharpened a = sharpen(says(0.9), fleet(4.2), lot_until(until), grower, quiet);
  const Sharpened b = sharpen(says(0.9), longer, lot_until(until), grower, quiet);
  REQUIRE(a.layer);
  REQUIRE(b.layer);
  CHECK(a.verdict == b.verdict);
  CHECK(a.layer->saturation == b.layer->saturation);
}

TEST_CASE("where there is too little to learn from there is no trial") {
  for (const auto& series : {std::vector<model::Series>{}, fleet(0.3)}) {
    const Sharpened result = sharpen(says(0.9), series, lot_until(start + 6 * day), grower, quiet);
    CHECK_FALSE(result.layer);
    CHECK(result.after.origins == 0);
    CHECK(result.verdict.starts_with("too little to learn from"));
  }
}

TEST_CASE("a fleet that has seen a model learn before tries the next one on what came since") {
  SiteLot lot = lot_until(start + 6 * day);
  lot.tested_from = start + 6 * day;
  const Sharpened result = sharpen(says(0.9), fleet(6), lot, grower, quiet);
  CHECK_FALSE(result.layer);
  CHECK(result.verdict.starts_with("too little that is new"));
}

TEST_CASE("recordings of different years are each tried on their own latest quarter") {
  std::vector<model::Series> both = fleet(6);
  for (model::Series& one : fleet(2)) {
    one.vm = model::VmName("later-" + one.vm.get());
    for (model::Sample& sample : one.samples) {
      sample.at += std::chrono::days(400);
      sample[model::Resource::cpu] = 0.2;
    }
    both.push_back(one);
  }
  const Sharpened result = sharpen(says(0.9), both, lot_until(start + 500 * day), grower, quiet);
  INFO(result.verdict);
  CHECK(result.after.origins > 0);
  CHECK(result.after.saturations > 100);
}

TEST_CASE("lessons begin three midnights after the fleet's first, and hold until the next") {
  const auto series = fleet(7);
  const auto model = std::make_shared<const LoadedModel>(says(0.9));
  LearningForecaster forecaster(model, grower, series, quiet);
  const double before = p_at(forecaster, series.front(), first_midnight + 3 * day - step);
  const double third = p_at(forecaster, series.front(), first_midnight + 3 * day);
  CHECK(before == Approx(0.9));
  CHECK(third < 0.9);
  CHECK(p_at(forecaster, series.front(), first_midnight + 4 * day - step) == third);
  CHECK(p_at(forecaster, series.front(), first_midnight + 4 * day) != third);
}

TEST_CASE("a large fleet teaches within its first day, a small one does not") {
  const auto model = std::make_shared<const LoadedModel>(says(0.9));
  for (const int vms : {8, 120}) {
    const auto series = fleet(1, vms);
    LearningForecaster forecaster(model, grower, series, quiet);
    CHECK(p_at(forecaster, series.front(), first_midnight + 6 * hour - step) == Approx(0.9));
    CHECK((p_at(forecaster, series.front(), first_midnight + 12 * hour) < 0.8) == (vms == 120));
  }
}

TEST_CASE("before the third day nothing is learned about saturation from few VMs that do") {
  const auto model = std::make_shared<const LoadedModel>(says(0.9));
  auto series = fleet(1, 120);
  for (std::size_t vm = 15; vm < series.size(); ++vm) {
    for (model::Sample& sample : series[vm].samples) sample[model::Resource::cpu] = 0.3;
  }
  LearningForecaster forecaster(model, grower, series, quiet);
  CHECK(p_at(forecaster, series.front(), first_midnight + 12 * hour) == Approx(0.9));
}

TEST_CASE("a lesson is about the question that is asked") {
  const auto series = fleet(5);
  const auto model = std::make_shared<const LoadedModel>(says(0.9));
  LearningForecaster forecaster(model, grower, series, quiet);
  const double time = first_midnight + 4 * day;
  const double rarely = p_at(forecaster, series.front(), time, 0.9);
  const double often = p_at(forecaster, series.front(), time, 0.5);
  CHECK(often > rarely + 0.1);
  CHECK(p_at(forecaster, series.front(), time, 0.9) == rarely);
  // What lies near shares a lesson, so that thresholds learned VM by VM take no lesson each.
  CHECK(p_at(forecaster, series.front(), time, 0.93) == rarely);
}

TEST_CASE("of a layer the part that does better is kept alone") {
  const auto series = fleet(6);
  const Sharpened both = sharpen(says(0.9), series, lot_until(start + 6 * day), grower, quiet);
  REQUIRE(both.layer);
  CHECK_FALSE(both.layer->saturation.empty());
  CHECK_FALSE(both.layer->peak.empty());
  SiteLot lot = lot_until(start + 6 * day);
  lot.least_saturating_vms = 9;
  const Sharpened peak = sharpen(says(0.9), series, lot, grower, quiet);
  REQUIRE(peak.layer);
  CHECK(peak.layer->saturation.empty());
  CHECK(peak.layer->peak == both.layer->peak);
  CHECK(peak.after.brier == peak.before.brier);
  CHECK(peak.after.pinball < peak.before.pinball);
  lot.least_vms = 9;
  CHECK_FALSE(sharpen(says(0.9), series, lot, grower, quiet).layer);
}

TEST_CASE("a stray row of a wrong clock moves no lesson, and after a gap of months they begin anew") {
  auto series = fleet(7);
  const auto model = std::make_shared<const LoadedModel>(says(0.9));
  LearningForecaster straight(model, grower, series, quiet);
  const auto early = series.front().samples.front();
  series[1].samples.insert(series[1].samples.begin(), early);
  series[1].samples.front().at = base::Instant{};
  LearningForecaster astray(model, grower, series, quiet);
  for (const double days : {2.9, 3.0, 6.5}) {
    const double time = first_midnight + days * day;
    CHECK(p_at(astray, series.front(), time) == p_at(straight, series.front(), time));
  }
  for (model::Series& one : series) {
    for (const model::Sample& sample : std::vector(one.samples)) {
      one.samples.push_back(sample);
      one.samples.back().at = sample.at + std::chrono::days(364);
    }
    std::ranges::sort(one.samples, {}, &model::Sample::at);
  }
  LearningForecaster again(model, grower, series, quiet);
  CHECK(p_at(again, series.front(), first_midnight + (364 + 2.9) * day) == Approx(0.9));
  CHECK(p_at(again, series.front(), first_midnight + (364 + 3) * day) < 0.9);
}

TEST_CASE("answers come in the order of the questions, whatever lessons they take") {
  const auto series = fleet(7);
  const auto model = std::make_shared<const LoadedModel>(says(0.9));
  LearningForecaster one(model, grower, series, quiet);
  LearningForecaster other(model, grower, series, quiet);
  const std::array times{first_midnight + 3.5 * day, first_midnight + day, first_midnight + 4.5 * day,
                         first_midnight + 3.2 * day};
  std::vector<double> together;
  std::vector<double> alone;
  std::vector<std::unique_ptr<Walk>> walks;
  for (const double time : times) {
    alone.push_back(p_at(other, series.front(), time));
    auto& walk = walks.emplace_back(std::make_unique<Walk>(series.front(), model::Resource::cpu, Ask{0.9, 1800}));
    while (walk->next() && walk->time() < time) {
    }
    one.ask(walk->view());
  }
  for (const Estimate& estimate : one.answers()) together.push_back(estimate.p_saturation);
  CHECK(together == alone);
  CHECK(one.answers().empty());
}

TEST_CASE("the time to saturation is one at which a reading is due") {
  const auto series = fleet(1);
  const auto first_s = [&](double p, double window_s) {
    TreeForecaster forecaster(std::make_shared<const LoadedModel>(says(p)));
    Walk walk(series.front(), model::Resource::cpu, {0.9, window_s});
    while (walk.next()) {
    }
    forecaster.ask(walk.view());
    return forecaster.answers().front().first_s.p50;
  };
  CHECK(first_s(0.6, 6 * step) == 2 * step);                         // its trees say 0.405 windows
  CHECK(first_s(0.6, 3.9 * step) == 2 * step);                       // 1.58 steps
  CHECK(first_s(0.2, 6 * step) == step);                             // none before the next reading
  CHECK(first_s(0.99, 3.9 * step) == 3 * step);                      // and none after the window's last
  CHECK(first_s(0.6, 0.5 * step) == Approx(0.405465 * 0.5 * step));  // none is due in time
}

TEST_CASE("a model whose first layer lacks trees is refused") {
  model::ForecastModel model;
  model.features = feature_names();
  const auto trees = Constant(0).save();
  model.layers.push_back({"ships", 1, {}, trees, {}, {trees, trees, trees}});
  CHECK_THROWS_AS(LoadedModel(model, grower), base::Error);
}
