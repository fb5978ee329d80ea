// SPDX-License-Identifier: Apache-2.0
#include "predict/statistical.hpp"

#include <rapidcheck.h>
#include <algorithm>
#include <catch2/catch.hpp>

#include "predict/trend.hpp"
#include "series.hpp"

namespace {

using namespace umbra;
using namespace umbra::predict;
using namespace umbra::predict::test;

constexpr base::Seconds five_minutes{300};

std::optional<model::ResourceForecast> ask(const std::vector<Reading>& history, base::Seconds within = five_minutes,
                                           double threshold = 0.9) {
  return StatisticalForecaster().forecast({history, origin, within, threshold});
}

/// 10 % to 100 % over 6 minutes.
double ramp(double t) {
  return std::min(1.0, 0.10 + 0.90 * t / 360);
}

/// The share of `tries` noisy series of that shape whose probability reaches `probability`.
double share_at(double probability, unsigned tries, std::size_t count, double step, base::Seconds within, double sigma,
                double keep, const std::function<double(double)>& shape) {
  unsigned reached = 0;
  for (unsigned seed = 1; seed <= tries; ++seed) {
    Noise noise(seed, sigma, keep);
    const auto f =
        ask(readings(count, step, [&](double t) { return std::clamp(shape(t) + noise(), 0.0, 1.0); }), within);
    if (f && f->p_saturation >= probability) ++reached;
  }
  return static_cast<double>(reached) / tries;
}

}  // namespace

TEST_CASE("a ramp is recognised within a minute of its start") {
  const double step = GENERATE(1.0, 2.0);
  const double history = GENERATE(45.0, 60.0);
  CAPTURE(step, history);
  const auto f = ask(readings(static_cast<std::size_t>(history / step), step, ramp));
  REQUIRE(f);
  CHECK(f->p_saturation > 0.8);
  REQUIRE(f->saturates_in_s);
  CHECK(f->saturates_in_s->p50 == Approx(320 - history).margin(45));
  CHECK(f->peak.p50 > 0.9);
}

TEST_CASE("a noisy ramp is recognised in nearly every case after a minute or, the noisier, a little later") {
  CHECK(share_at(0.5, 200, 60, 1, five_minutes, 0.015, 0, ramp) > 0.95);
  CHECK(share_at(0.5, 200, 45, 2, five_minutes, 0.03, 0, ramp) > 0.95);
}

TEST_CASE("a ramp after a long flat time is recognised") {
  const auto f = ask(readings(660, 1, [](double t) { return t < 600 ? 0.1 : ramp(t - 600); }));
  REQUIRE(f);
  CHECK(f->p_saturation > 0.7);
}

TEST_CASE("a flat noisy series hardly ever triggers, the noise being white or not") {
  const auto flat = [](double) { return 0.4; };
  CHECK(share_at(0.2, 200, 60, 1, five_minutes, 0.05, 0, flat) <= 0.01);
  CHECK(share_at(0.2, 200, 300, 2, base::Seconds(1800), 0.05, 0, flat) <= 0.01);
  CHECK(share_at(0.2, 200, 60, 1, five_minutes, 0.05, 0.7, flat) <= 0.05);
  CHECK(share_at(0.2, 200, 300, 2, base::Seconds(1800), 0.05, 0.8, flat) <= 0.05);
}

TEST_CASE("the quantiles of the peak hold the peaks that come") {
  // Flat level with autocorrelated noise: 30 s means of the 5 minutes that follow.
  unsigned below_p10 = 0;
  unsigned below_p90 = 0;
  constexpr unsigned tries = 300;
  for (unsigned seed = 1; seed <= tries; ++seed) {
    Noise noise(seed, 0.05, 0.5);
    const auto f = ask(readings(300, 1, [&](double) { return 0.5 + noise(); }));
    REQUIRE(f);
    double peak = 0;
    for (int block = 0; block < 10; ++block) {
      double sum = 0;
      for (int i = 0; i < 30; ++i) sum += 0.5 + noise();
      peak = std::max(peak, sum / 30);
    }
    below_p10 += peak < f->peak.p10;
    below_p90 += peak < f->peak.p90;
  }
  CHECK(below_p10 / double{tries} < 0.3);
  CHECK(below_p90 / double{tries} > 0.75);
}

TEST_CASE("a single reading over the threshold saturates nobody") {
  const auto f = ask(readings(120, 1, [](double t) { return t == 60 ? 1.0 : 0.3; }));
  REQUIRE(f);
  CHECK(f->p_saturation < 0.05);
  CHECK_FALSE(f->saturates_in_s);
}

TEST_CASE("what is saturated already saturates at once and for certain") {
  const auto f = ask(readings(120, 1, [](double) { return 0.97; }));
  REQUIRE(f);
  CHECK(f->p_saturation == 1);
  REQUIRE(f->saturates_in_s);
  CHECK(f->saturates_in_s->p90 == 0);
}

TEST_CASE("a falling series does not saturate") {
  const auto f = ask(readings(60, 1, [](double t) { return 0.85 - 0.002 * t; }));
  REQUIRE(f);
  CHECK(f->p_saturation < 0.01);
}

TEST_CASE("fewer than 12 readings, or old ones, say nothing") {
  CHECK_FALSE(ask(readings(11, 1, ramp)));
  CHECK(ask(readings(12, 1, ramp)));
  CHECK_FALSE(ask({}));
  auto old = readings(60, 1, ramp);
  for (auto& reading : old) reading.at -= std::chrono::seconds(301);
  CHECK_FALSE(ask(old));
}

TEST_CASE("readings after the origin are not used") {
  auto history = readings(60, 1, [](double) { return 0.3; });
  const auto before = ask(history);
  for (int i = 1; i <= 60; ++i) history.push_back({origin + std::chrono::seconds(i), 1.0});
  const auto after = ask(history);
  REQUIRE((before && after));
  CHECK(after->p_saturation == before->p_saturation);
  CHECK(after->now == before->now);
}

TEST_CASE("gaps and uneven steps change little") {
  auto history = readings(60, 1, ramp);
  history.erase(history.begin() + 20, history.begin() + 35);
  for (std::size_t i = 1; i < history.size() - 1; i += 3) history[i].at += base::Millis(400);
  std::vector<Reading> uneven;
  for (const auto& reading : history)
    uneven.push_back({reading.at, ramp(59 + base::Seconds(reading.at - origin).count())});
  const auto f = ask(uneven);
  REQUIRE(f);
  CHECK(f->p_saturation > 0.8);
}

TEST_CASE("samples a day apart still give a forecast") {
  const auto f = ask(readings(20, 86400, [](double) { return 0.5; }), base::Seconds(86400));
  REQUIRE(f);
  CHECK(f->p_saturation < 0.05);
}

TEST_CASE("laws of any forecast") {
  CHECK(rc::check("probability in 0..1, quantiles ordered, a higher threshold never likelier", [] {
    const auto count = *rc::gen::inRange<std::size_t>(12, 200);
    std::vector<Reading> history;
    base::Instant at = origin - std::chrono::hours(1);
    for (std::size_t i = 0; i < count && at < origin; ++i) {
      history.push_back({at, *rc::gen::inRange(0, 1201) / 1000.0});
      at += base::Millis(*rc::gen::inRange(200, 20000));
    }
    RC_PRE(history.size() >= 12);
    const base::Instant now = history.back().at;
    const base::Seconds within(*rc::gen::inRange(1, 7200));
    const double threshold = *rc::gen::inRange(100, 1000) / 1000.0;
    const StatisticalForecaster forecaster;
    const auto f = forecaster.forecast({history, now, within, threshold});
    RC_ASSERT(f.has_value());
    RC_ASSERT((f->p_saturation >= 0 && f->p_saturation <= 1));
    RC_ASSERT((f->peak.p10 <= f->peak.p50 && f->peak.p50 <= f->peak.p90));
    RC_ASSERT((f->peak.p10 >= 0 && std::isfinite(f->peak.p90)));
    RC_ASSERT(f->saturates_in_s.has_value() == (f->p_saturation >= 0.05));
    if (f->saturates_in_s) {
      const auto& s = *f->saturates_in_s;
      RC_ASSERT((0 <= s.p10 && s.p10 <= s.p50 && s.p50 <= s.p90 && s.p90 <= within.count()));
    }
    const auto higher = forecaster.forecast({history, now, within, threshold + 0.05});
    RC_ASSERT(higher->p_saturation <= f->p_saturation + 1e-6);  // finer than is kept
    const auto longer = forecaster.forecast({history, now, within, threshold});
    RC_ASSERT(longer->p_saturation == f->p_saturation);
  }));
}

TEST_CASE("a rise is believed to end some time, sooner the less was seen of it") {
  StatisticalOptions options;
  options.ends = 1;
  const auto p = [&](double seen) {
    const auto history = readings(static_cast<std::size_t>(seen), 1, [&](double t) { return 0.6 + (t - seen) / 1000; });
    return StatisticalForecaster(options).forecast({history, origin, base::Seconds(600), 0.9})->p_saturation;
  };
  CHECK(p(60) < 0.6);
  CHECK(p(120) > p(60));
  CHECK(p(500) > 0.8);
  CHECK(p(500) < 0.95);
}

TEST_CASE("a line is drawn through what goes straight, not through a bend before it") {
  const auto history = readings(900, 1, [](double t) { return t < 500 ? 0.2 + t / 1000 : 0.7 + 0.00001 * (t - 500); });
  std::vector<Dot> dots;
  for (const Reading& r : history) dots.push_back({base::Seconds(r.at - origin).count(), r.value});
  const Trend line = fit_trend(dots);
  CHECK(line.slope < 0.0002);
  CHECK(line.span < 600);
}

TEST_CASE("spread and step of a line are those of the readings, though it goes through means of them") {
  Noise noise(5, 0.05);
  std::vector<Dot> dots;
  for (int t = -899; t <= 0; ++t) dots.push_back({double(t), 0.5 + t / 4000.0 + noise()});
  const Trend line = fit_trend(dots);
  CHECK(line.step == 1);
  CHECK(line.spread == Approx(0.05).epsilon(0.1));
  CHECK(line.weight == 1);
}

TEST_CASE("what no line explains has none") {
  std::vector<Dot> dots;
  for (int i = 0; i < 30; ++i) dots.push_back({i - 29.0, 0.001 * i * i});
  CHECK(fit_trend(dots).weight == 0);
}

TEST_CASE("a long window holds as many peaks as a short one for each of its readings") {
  // The highest of 1800 readings lies above that of 96, 3.4 deviations up against 2.5.
  Noise noise(3, 0.05);
  StatisticalOptions options;
  options.sustain = base::Seconds(1);
  const auto history = readings(300, 1, [&](double) { return 0.4 + noise(); });
  const auto f = StatisticalForecaster(options).forecast({history, origin, base::Seconds(1800), 0.9});
  REQUIRE(f);
  CHECK(f->peak.p50 == Approx(0.4 + 0.05 * 3.4).margin(0.02));
}
