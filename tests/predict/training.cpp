// SPDX-License-Identifier: Apache-2.0
#include "predict/training.hpp"

#include <catch2/catch.hpp>

#include "predict/constant_trees.hpp"

namespace {

using namespace umbra;
using namespace umbra::predict;

constexpr double step = 300;

/// Of 40 VMs, the `hot` first ones pass nine tenths now and then.
TrainingSet fleet(int hot) {
  TrainingSet set{"fleet", {}};
  for (int vm = 0; vm < 40; ++vm) {
    Dice dice(static_cast<std::uint64_t>(vm));
    model::Series& series = set.series.emplace_back();
    series.vm = model::VmName("vm" + std::to_string(vm));
    for (int row = 0; row < 800; ++row) {
      model::Sample sample;
      sample.at = instant_of(1.7e9 + step * row);
      sample[model::Resource::cpu] = vm < hot && dice.share() < 0.05 ? 0.97 : 0.1 + 0.5 * dice.share();
      series.samples.push_back(sample);
    }
  }
  return set;
}

}  // namespace

TEST_CASE("a model carries scores of the usual questions, from VMs some of which saturate") {
  const std::vector<TrainingSet> sets{fleet(6)};
  const auto model = train(sets, test::ConstantGrower(), {}, [](const std::string&) {});
  REQUIRE(model.scores.size() == 3);
  for (const model::Json& row : model.scores) {
    INFO(row.dump());
    CHECK(row["set"] == "fleet");
    CHECK(row["all"]["forecasts"].get<double>() > 500);
    CHECK(row["all"]["saturations"].get<double>() > 20);
  }
  CHECK(model.scores[0]["threshold"] == 0.9);
  CHECK(model.scores[1]["within_s"] == 3600);
  CHECK(model.scores[2]["threshold"] == 0.8);
}
