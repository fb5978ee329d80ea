// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/model_text.hpp"

#include <catch2/catch.hpp>

namespace {

using namespace umbra;
using Catch::Matchers::Contains;

model::ForecastModel shipped() {
  model::ForecastModel model;
  model::ForecastLayer& layer = model.layers.emplace_back();
  layer.name = "default/1";
  layer.training = {
      {"traces", {{{"trace", "rnd.csv"}, {"vms", 87}, {"rows", 349982}}}}, {"seed", 1}, {"note", "of a month"}};
  model.scores = {
      {{"set", "rnd"},
       {"resource", "cpu"},
       {"within_s", 1800.0},
       {"threshold", 0.9},
       {"all", {{"forecasts", 5000}, {"saturations", 41}, {"brier_skill", 0.1849}, {"average_precision", nullptr}}},
       {"peak", {{"pinball_ratio", 0.7512}}}}};
  return model;
}

}  // namespace

TEST_CASE("a model is told in lines: where it comes from, and what it was worth") {
  const std::string text = cmd::model_text(shipped(), false);
  CHECK_THAT(text, Contains("default/1: weight 1, seed 1\n  of a month\n"));
  CHECK_THAT(text, Contains("rnd.csv        87  349982\n"));
  CHECK_THAT(text, Contains("rnd  cpu           1800        0.9     5000         41        0.185              -"));
  CHECK_THAT(text, Contains("0.751"));
}

TEST_CASE("scores that a model lacks, or of another shape, are told as absent") {
  model::ForecastModel model = shipped();
  model.layers.front().training = "by hand";
  model.scores = {7, {{"set", {1}}, {"all", "good"}}};
  CHECK_THAT(cmd::model_text(model, false), Contains("  -\n"));
  model.scores = model::Json::array();
  CHECK_THAT(cmd::model_text(model, false), !Contains("SATURATED"));
}

TEST_CASE("what a model tells of itself sends nothing to the terminal but text") {
  model::ForecastModel model = shipped();
  model.layers.front().name = "a\033[2Jb";
  model.layers.front().training["note"] = "c\033[2Jd";
  CHECK_THAT(cmd::model_text(model, false), !Contains("\033"));
}
