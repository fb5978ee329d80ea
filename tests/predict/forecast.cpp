// SPDX-License-Identifier: Apache-2.0
#include "predict/forecast.hpp"

#include <catch2/catch.hpp>
#include <new>
#include <utility>

#include "fakes/thrown.hpp"
#include "series.hpp"

namespace {

using namespace umbra;
using namespace umbra::predict;
using model::Resource;
using predict::test::origin;

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

/// Saturation as likely as the newest reading is high, at the time that `first` says.
class Level final : public Forecaster {
 public:
  explicit Level(double scale = 1) : m_scale(scale) {}
  std::string name() const override { return "level"; }
  void ask(const View& view) override {
    const double now = view.past.value(view.past.size() - 1);
    const double over = now / view.crossings.threshold();
    m_answers.push_back({std::min(1.0, m_scale * over), {10 / over, 20 / over, 30 / over}, {now, now, now}});
  }
  std::vector<Estimate> answers() override { return std::exchange(m_answers, {}); }

 private:
  double m_scale;
  std::vector<Estimate> m_answers;
};

}  // namespace

TEST_CASE("the resource where waiting costs most is the binding one") {
  Level level;
  const auto slow = [](double t) { return 0.3 + 0.006 * t; };
  const auto fast = [](double t) { return 0.3 + 0.008 * t; };
  const Question question{origin, base::Seconds(300), model::Priority::normal, "trace"};
  const auto f = forecast(series(60, slow, fast), {}, level, question);
  CHECK(f.trigger);
  CHECK(f.binding == Resource::memory);
  CHECK(f.resources.size() == 2);
  CHECK(f.samples == 60);
  CHECK(f.history_s == 59);
  CHECK(f.source == "trace");
  CHECK(f.model == "level");
  CHECK(forecast(series(60, fast, slow), {}, level, question).binding == Resource::cpu);
}

TEST_CASE("an idle VM triggers nothing and names nothing as binding") {
  Level level;
  const auto f = forecast(series(60, idle, idle), {}, level, {origin, base::Seconds(1800)});
  CHECK_FALSE(f.trigger);
  CHECK_FALSE(f.binding);
}

TEST_CASE("a critical VM triggers on a chance that a low one does not") {
  Level even(1.8);  // 0.4 at 20 % of a threshold of 90 %
  const auto history = series(20, idle, idle);
  const auto ask = [&](model::Priority p) {
    return forecast(history, {}, even, {origin, base::Seconds(300), p}).trigger;
  };
  CHECK(ask(model::Priority::critical));
  CHECK(ask(model::Priority::high));
  CHECK_FALSE(ask(model::Priority::normal));
  CHECK_FALSE(ask(model::Priority::low));
}

TEST_CASE("where waiting costs most, not what saturates first, is the binding resource; of equals the first") {
  // All are certain and come within the first third of the window; memory comes first.
  class Certain final : public Forecaster {
   public:
    explicit Certain(double peak_of_memory) : m_peak_of_memory(peak_of_memory) {}
    std::string name() const override { return "certain"; }
    void ask(const View& view) override {
      const bool memory = view.resource == Resource::memory;
      const double first = memory ? 20 : 40;
      const double peak = memory ? m_peak_of_memory : 1;
      m_answers.push_back({1, {first, first, first}, {peak, peak, peak}});
    }
    std::vector<Estimate> answers() override { return std::exchange(m_answers, {}); }

   private:
    double m_peak_of_memory;
    std::vector<Estimate> m_answers;
  };
  Certain slight(0.96);
  Certain full(1);
  const auto f = forecast(series(60, idle, idle), {}, slight, {origin, base::Seconds(300)});
  CHECK(f.binding == Resource::cpu);
  CHECK(f.acting_cost_s == 30);
  CHECK(f.resources.at(Resource::cpu).expected_cost_s == 90);
  CHECK(f.resources.at(Resource::memory).expected_cost_s == 75);
  CHECK(forecast(series(60, idle, idle), {}, full, {origin, base::Seconds(300)}).binding == Resource::memory);
}

TEST_CASE("what a VM does without harm is learned from what was known at the origin, and from nothing later") {
  const base::Instant middle = origin - std::chrono::hours(100);
  model::Series whole;
  for (int i = 10 * 144; i >= 0; --i) {
    const base::Instant at = origin - std::chrono::minutes(10 * i);
    const int hour_of_day = i / 6 % 24;
    // Before the middle 95 % for 8 hours each day, then idle.
    model::Sample sample;
    sample.at = at;
    sample[Resource::cpu] = at <= middle && hour_of_day < 8 ? 0.95 : 0.3;
    whole.samples.push_back(sample);
  }
  model::Series cut = whole;
  std::erase_if(cut.samples, [&](const model::Sample& sample) { return sample.at > middle; });
  Level level;
  const Question question{middle, base::Seconds(1800)};
  const auto known = forecast(cut, {}, level, question).resources.at(Resource::cpu);
  const auto also = forecast(whole, {}, level, question).resources.at(Resource::cpu);
  CHECK(known.threshold_source == "learned");
  CHECK(known.threshold == Approx(0.975));
  CHECK(also.threshold == known.threshold);
  CHECK(also.threshold_reason == known.threshold_reason);
  CHECK(forecast(whole, {}, level, {origin, base::Seconds(1800)}).resources.at(Resource::cpu).threshold == 0.9);
}

TEST_CASE("configured thresholds are used and named as such") {
  Level level;
  const auto f = forecast(series(60, idle, idle), {{Resource::cpu, {0.15}}}, level, {origin, base::Seconds(300)});
  CHECK(f.resources.at(Resource::cpu).threshold == 0.15);
  CHECK(f.resources.at(Resource::cpu).threshold_source == "configured");
  CHECK(f.resources.at(Resource::cpu).threshold_reason == "set in the configuration");
  CHECK(f.resources.at(Resource::memory).threshold == 0.92);
  CHECK(f.resources.at(Resource::memory).threshold_source == "default");
  CHECK(f.trigger);
}

TEST_CASE("too little or too old history is an error that says how to get some") {
  Level level;
  const auto refused = [&level](const model::Series& s, base::Instant at) {
    try {
      forecast(s, {}, level, {at, base::Seconds(300)});
    } catch (const base::Error& e) {
      CHECK(e.kind() == base::Kind::invalid);
      const bool by_clock = std::string(e.what()).find(" begins at ") != std::string::npos;
      CHECK(e.hint().starts_with(by_clock ? "correct the clock" : "umbra observe --interval 1s --for 60s"));
      return std::string(e.what());
    }
    return std::string("no error");
  };
  CHECK(refused(series(0, idle, idle), origin) == "there is no history of \"web1\" to forecast from");
  CHECK(refused(series(11, idle, idle), origin) ==
        "the history of \"web1\" is too short to forecast from: 11 samples where 12 are needed");
  // What comes after the origin is not known then.
  CHECK(refused(series(60, idle, idle), origin - std::chrono::hours(1)) ==
        "the history of \"web1\" begins at 2026-11-24T09:59:01Z, and there is none before 2026-11-24T09:00:00Z");
  CHECK(refused(series(60, idle, idle), origin - std::chrono::seconds(55)) ==
        "the history of \"web1\" is too short to forecast from: 5 samples where 12 are needed");
  CHECK(refused(series(60, idle, idle), origin + std::chrono::hours(1)) ==
        "the history of \"web1\" is too old to forecast from: its newest sample is of 2026-11-24T10:00:00Z");
}

TEST_CASE("after a gap of months a history begins anew, and a reading of a wrong clock is not forecast from") {
  Level level;
  const auto away = std::chrono::days(100);
  model::Series s = series(60, idle, idle);
  for (const model::Sample& one : series(13, idle, idle).samples) {
    s.samples.push_back(one);
    s.samples.back().at += away;
  }
  const auto at = [&](std::size_t sample) { return Question{s.samples[sample].at, base::Seconds(300)}; };
  CHECK_THROWS_WITH(forecast(s, {}, level, at(60)), Catch::Contains("1 samples where 12 are needed"));
  CHECK_THROWS_WITH(forecast(s, {}, level, at(70)), Catch::Contains("11 samples where 12 are needed"));
  CHECK(forecast(s, {}, level, at(71)).resources.size() == 2);
  CHECK(forecast(s, {}, level, at(59)).resources.size() == 2);
}

TEST_CASE("VMs that are asked together get each its own answer") {
  Level level;
  Round round(level);
  round.add(series(60, idle, [](double) { return 0.7; }), {}, {origin, base::Seconds(300)});
  CHECK_THROWS_AS(round.add(series(3, idle, idle), {}, {origin, base::Seconds(300)}), base::Error);
  round.add(series(
                60, [](double) { return 0.9; }, idle),
            {}, {origin, base::Seconds(300)});
  const auto forecasts = round.finish();
  REQUIRE(forecasts.size() == 2);
  CHECK(forecasts[0].resources.at(Resource::memory).now == 0.7);
  CHECK(forecasts[0].resources.at(Resource::memory).p_saturation == Approx(0.7 / 0.92));
  CHECK(forecasts[1].resources.at(Resource::cpu).p_saturation == 1);
  CHECK(forecasts[1].resources.at(Resource::memory).p_saturation == Approx(0.2 / 0.92));
  CHECK(round.finish().empty());
}

TEST_CASE("a VM that was given up half asked takes no answer of another's") {
  class Failing final : public Forecaster {
   public:
    explicit Failing(int failing) : m_failing(failing) {}
    std::string name() const override { return "failing"; }
    void ask(const View& view) override {
      if (++m_asked == m_failing) throw std::bad_alloc();
      m_level.ask(view);
    }
    std::vector<Estimate> answers() override { return m_level.answers(); }

   private:
    Level m_level;
    int m_failing;
    int m_asked = 0;
  };
  for (const int failing : {1, 2}) {
    Failing forecaster(failing);
    Round round(forecaster);
    CHECK_THROWS_AS(round.add(series(60, idle, idle), {}, {origin, base::Seconds(300)}), std::bad_alloc);
    round.add(series(60, idle, idle), {}, {origin, base::Seconds(300)});
    CHECK(umbra::test::kind_of([&] { round.finish(); }) == base::Kind::internal);
  }
}

TEST_CASE("answers that are more or fewer than the questions are taken for none") {
  class Miscounting final : public Forecaster {
   public:
    explicit Miscounting(std::size_t answers) : m_answers(answers) {}
    std::string name() const override { return "miscounting"; }
    void ask(const View&) override {}
    std::vector<Estimate> answers() override { return std::vector<Estimate>(m_answers); }

   private:
    std::size_t m_answers;
  };
  for (const std::size_t answers : {1u, 3u}) {
    Miscounting forecaster(answers);
    Round round(forecaster);
    round.add(series(60, idle, idle), {}, {origin, base::Seconds(300)});
    CHECK(umbra::test::kind_of([&] { round.finish(); }) == base::Kind::internal);
  }
}

TEST_CASE("confidence tells how much of the last four windows was seen") {
  Level level;
  const auto of = [&](std::size_t samples) {
    return forecast(series(samples, idle, idle), {}, level, {origin, base::Seconds(60)})
        .resources.at(Resource::cpu)
        .confidence;
  };
  CHECK(of(24) == Approx(0.1));
  CHECK(of(120) == Approx(0.5));
  CHECK(of(600) == 1);
}

TEST_CASE("coarse samples of the past make no gap of the present look seen") {
  Level level;
  model::Series s = series(60, idle, idle);  // the last minute of the last four
  for (int i = 0; i < 500; ++i) {
    model::Sample coarse;
    coarse.at = origin - std::chrono::hours(50) + i * std::chrono::minutes(5);
    coarse[Resource::cpu] = 0.2;
    s.samples.insert(s.samples.begin() + i, coarse);
  }
  const auto f = forecast(s, {}, level, {origin, base::Seconds(60)});
  CHECK(f.resources.at(Resource::cpu).confidence == Approx(0.25));
}
