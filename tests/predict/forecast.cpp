// SPDX-License-Identifier: Apache-2.0
#include "predict/forecast.hpp"

#include <catch2/catch.hpp>

#include "base/error.hpp"
#include "predict/statistical.hpp"
#include "series.hpp"

namespace {

using namespace umbra;
using namespace umbra::predict;
using model::Resource;
using test::origin;

model::Series series(std::size_t count, const std::function<double(double)>& cpu,
                     const std::function<double(double)>& memory) {
  model::Series s;
  s.vm = model::VmName("web1");
  for (std::size_t i = 0; i < count; ++i) {
    const double t = static_cast<double>(i);
    model::Sample sample;
    sample.at = origin - std::chrono::seconds(count - 1 - i);
    sample[Resource::cpu] = cpu(t);
    sample[Resource::memory] = memory(t);
    s.samples.push_back(sample);
  }
  return s;
}

double idle(double) {
  return 0.2;
}

const StatisticalForecaster statistical;

}  // namespace

TEST_CASE("the resource that saturates first is the binding one") {
  const auto slow = [](double t) { return 0.3 + 0.0025 * t; };
  const auto fast = [](double t) { return 0.3 + 0.005 * t; };
  const Question question{origin, base::Seconds(300), model::Priority::normal, "trace"};
  const auto f = forecast(series(60, slow, fast), thresholds_of({}), statistical, question);
  CHECK(f.trigger);
  CHECK(f.binding == Resource::memory);
  CHECK(f.resources.size() == 2);
  CHECK(f.samples == 60);
  CHECK(f.history_s == 59);
  CHECK(f.source == "trace");
  CHECK(f.model == "statistical/1");
  CHECK(forecast(series(60, fast, slow), thresholds_of({}), statistical, question).binding == Resource::cpu);
}

TEST_CASE("an idle VM triggers nothing and names nothing as binding") {
  const auto f = forecast(series(60, idle, idle), thresholds_of({}), statistical, {origin, base::Seconds(1800)});
  CHECK_FALSE(f.trigger);
  CHECK_FALSE(f.binding);
}

TEST_CASE("a critical VM triggers on a chance that a low one does not") {
  // The lower the priority, the surer the forecast must be.
  CHECK(trigger_probability(model::Priority::critical) < trigger_probability(model::Priority::high));
  CHECK(trigger_probability(model::Priority::high) < trigger_probability(model::Priority::normal));
  CHECK(trigger_probability(model::Priority::normal) < trigger_probability(model::Priority::low));

  class Even final : public ports::Forecaster {
    std::string name() const override { return "even"; }
    std::optional<model::ResourceForecast> forecast(const ports::ForecastQuery&) const override {
      model::ResourceForecast f;
      f.p_saturation = 0.4;
      f.saturates_in_s = model::Quantiles{10, 20, 30};
      return f;
    }
  } even;
  const auto history = series(20, idle, idle);
  const auto ask = [&](model::Priority p) {
    return forecast(history, thresholds_of({}), even, {origin, base::Seconds(300), p}).trigger;
  };
  CHECK(ask(model::Priority::critical));
  CHECK(ask(model::Priority::high));
  CHECK_FALSE(ask(model::Priority::normal));
  CHECK_FALSE(ask(model::Priority::low));
}

TEST_CASE("the policy's thresholds are used and named as such") {
  model::VmPolicy policy;
  policy.saturation[Resource::cpu] = {0.15};
  const auto f = forecast(series(60, idle, idle), thresholds_of(policy), statistical, {origin, base::Seconds(300)});
  CHECK(f.resources.at(Resource::cpu).threshold == 0.15);
  CHECK(f.resources.at(Resource::cpu).threshold_source == "configured");
  CHECK(f.resources.at(Resource::memory).threshold == 0.92);
  CHECK(f.resources.at(Resource::memory).threshold_source == "default");
  CHECK(f.trigger);
}

TEST_CASE("too little or too old history is an error that says how to get some") {
  const auto refused = [](const model::Series& s, base::Instant at) {
    try {
      forecast(s, thresholds_of({}), statistical, {at, base::Seconds(300)});
    } catch (const base::Error& e) {
      CHECK(e.kind() == base::Kind::invalid);
      CHECK(e.hint() == "umbra observe --interval 1s --for 60s");
      return std::string(e.what());
    }
    return std::string("no error");
  };
  CHECK(refused(series(0, idle, idle), origin) == "there is no history of \"web1\" to forecast from");
  CHECK(refused(series(5, idle, idle), origin) == "the history of \"web1\" is too short to forecast from: 5 samples");
  CHECK(refused(series(60, idle, idle), origin + std::chrono::hours(1)) ==
        "the history of \"web1\" is too old to forecast from: its newest sample is of 2026-11-24T10:00:00Z");
}
