// SPDX-License-Identifier: Apache-2.0
#include "predict/past.hpp"

#include <rapidcheck.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "predict/crossings.hpp"
#include "predict/outcome.hpp"

namespace {

using namespace umbra::predict;

/// Readings a minute apart.
Past minutes(const std::vector<double>& values) {
  Past past;
  for (std::size_t i = 0; i < values.size(); ++i)
    past.append(1000 + 60.0 * static_cast<double>(i), values[i], values[i]);
  return past;
}

std::vector<double> fractions(std::size_t count) {
  return *rc::gen::container<std::vector<double>>(
      count, rc::gen::map(rc::gen::inRange(0, 1001), [](int n) { return n / 1000.0; }));
}

}  // namespace

TEST_CASE("the statistics of any stretch are those of its readings") {
  CHECK(rc::check("against a plain count", [] {
    const std::vector<double> values = fractions(*rc::gen::inRange<std::size_t>(1, 700));
    const Past past = minutes(values);
    const std::size_t from = *rc::gen::inRange<std::size_t>(0, values.size());
    const std::size_t to = *rc::gen::inRange<std::size_t>(from + 1, values.size() + 1);
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(from);
    const auto end = values.begin() + static_cast<std::ptrdiff_t>(to);
    RC_ASSERT(past.highest({from, to}) == *std::max_element(begin, end));
    RC_ASSERT(past.lowest({from, to}) == *std::min_element(begin, end));
    double sum = 0;
    for (auto it = begin; it != end; ++it) sum += *it;
    const double mean = sum / static_cast<double>(to - from);
    double squares = 0;
    for (auto it = begin; it != end; ++it) squares += (*it - mean) * (*it - mean);
    const Shape shape = past.shape({from, to});
    RC_ASSERT(std::abs(shape.mean - mean) < 1e-9);
    RC_ASSERT(past.mean({from, to}) == shape.mean);
    RC_ASSERT(std::abs(shape.spread - std::sqrt(squares / static_cast<double>(to - from))) < 1e-6);
  }));
}

TEST_CASE("a stretch that moves on has the highest of its readings wherever it stands") {
  CHECK(rc::check("against a look at each", [] {
    const Past past = minutes(fractions(*rc::gen::inRange<std::size_t>(1, 200)));
    MovingHighest moving;
    Stretch s;
    const auto steps = rc::gen::inRange<std::size_t>(0, 4);
    for (const auto& [from, to] :
         *rc::gen::container<std::vector<std::pair<std::size_t, std::size_t>>>(150, rc::gen::pair(steps, steps))) {
      s.from += from;
      s.to = std::min(past.size(), s.to + to);
      const double highest = moving.of(past, s);
      RC_ASSERT((s.empty() ? std::isnan(highest) : highest == past.highest(s)));
    }
  }));
}

TEST_CASE("a straight line has its slope, and too few readings have none") {
  Past past;
  for (int i = 0; i < 20; ++i) past.append(1.7e9 + 30.0 * i, 0.1 + 0.002 * 30 * i, 0);
  CHECK(past.shape(past.whole()).slope == Approx(0.002));
  CHECK(past.shape({5, 20}).slope == Approx(0.002));
  CHECK(std::isnan(past.shape({0, 2}).slope));
  CHECK(std::isnan(past.shape({3, 3}).mean));
  CHECK(std::isnan(past.highest({3, 3})));
}

TEST_CASE("a stretch holds what is later than its start and no later than its end") {
  const Past past = minutes({0.1, 0.2, 0.3, 0.4});
  CHECK(past.between(1000, 1120).from == 1);
  CHECK(past.between(1000, 1120).to == 3);
  CHECK(past.since(1180).empty());
  CHECK(past.between(0, 999).empty());
}

TEST_CASE("a gap of months breaks the course of readings, and a shorter one does not") {
  Past past = minutes({0.1, 0.2, 0.3});
  past.append(past.time(2) + 90 * day, 0.5, 0.5);
  CHECK(past.unbroken() == 4);
  past.append(past.time(3) + 90 * day + 60, 0.5, 0.5);
  CHECK(past.unbroken() == 1);
  past.append(past.time(4) + 60, 0.5, 0.5);
  CHECK(past.unbroken() == 2);
  CHECK(past.size() == 6);
}

TEST_CASE("runs above the threshold are told with their starts and lengths") {
  const Past past = minutes({0.1, 0.9, 0.95, 0.2, 0.1, 1.0, 0.3});
  Crossings crossings(0.9, 60);
  crossings.follow(past);
  CHECK(crossings.onsets() == std::vector<double>{1060, 1300});
  CHECK(crossings.run_lengths() == std::vector<double>{120, 60});
  CHECK_FALSE(crossings.above());
  CHECK(crossings.last_above() == 1300);
  CHECK(crossings.share_above(past.whole()) == Approx(3.0 / 7));
  CHECK(crossings.onsets_since(1060) == 1);
}

TEST_CASE("odds count those origins alone whose whole window has passed") {
  const Past past = minutes({0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.9});
  Crossings crossings(0.9, 120);
  crossings.follow(past);
  CHECK(crossings.all().origins == 5);  // the newest two have no whole window yet
  CHECK(crossings.precedents().size() == 5);
  CHECK(crossings.quiet().origins == 3);  // 0.1, 0.1 and the fifth
  CHECK(crossings.quiet().saturated == 3);
  CHECK(crossings.precedents()[0].rise == Approx(0.8));
}

TEST_CASE("crossings that follow reading by reading are those of one look at the end") {
  CHECK(rc::check("step by step or at once", [] {
    const std::vector<double> values = fractions(*rc::gen::inRange<std::size_t>(1, 200));
    Crossings stepwise(0.7, 300);
    Past past;
    for (std::size_t i = 0; i < values.size(); ++i) {
      past.append(60.0 * static_cast<double>(i), values[i], values[i]);
      stepwise.follow(past);
    }
    Crossings at_once(0.7, 300);
    at_once.follow(past);
    RC_ASSERT(stepwise.onsets() == at_once.onsets());
    RC_ASSERT(stepwise.all().saturated == at_once.all().saturated);
    RC_ASSERT(stepwise.quiet().origins == at_once.quiet().origins);
  }));
}

TEST_CASE("an outcome needs four fifths of the window's readings") {
  Past past;
  for (const int minute : {0, 1, 2, 3, 4, 5}) past.append(60.0 * minute, 0.1, 0.1);
  CHECK(outcome_of(past, 0, {0.9, 300}));
  CHECK(outcome_of(past, 1, {0.9, 300}));        // four of five
  CHECK_FALSE(outcome_of(past, 2, {0.9, 300}));  // three of five
}

TEST_CASE("how many readings a window should hold goes by the step about its origin") {
  Past past;  // ten hours at five minutes, then ten minutes at a second
  for (int i = 0; i < 120; ++i) past.append(300.0 * i, 0.1, 0.1);
  for (int i = 0; i < 600; ++i) past.append(300.0 * 119 + 1 + i, 0.1, 0.1);
  CHECK(step_at(past, 0) == 300);
  CHECK(step_at(past, 119) == 300);
  CHECK(step_at(past, 160) == 1);
  CHECK(outcome_of(past, 50, {0.9, 1800}));
  CHECK(outcome_of(past, 160, {0.9, 300}));
  CHECK_FALSE(outcome_of(past, 600, {0.9, 300}));
}

TEST_CASE("an onset is news: nothing above in the window before, and that was seen") {
  const Past past = minutes({0.1, 0.95, 0.1, 0.1, 0.1, 0.1, 0.95, 0.1});
  const Ask ask{0.9, 120};
  CHECK_FALSE(outcome_of(past, 0, ask)->onset);  // the window before was not seen
  CHECK_FALSE(outcome_of(past, 2, ask)->onset);
  CHECK(outcome_of(past, 3, ask)->onset);
  const auto outcome = outcome_of(past, 4, ask);
  CHECK(outcome->saturated);
  CHECK(outcome->first_s == 120);
  CHECK(outcome->peak == 0.95);
}

TEST_CASE("a cleared past is as one that never was") {
  Past past = minutes({0.9, 0.8, 0.7});
  for (const double time : {1e9, 1e9 + 300}) past.append(time, 0.5, 0.6);
  CHECK(past.unbroken() == 2);
  past.clear();
  CHECK(past.empty());
  CHECK(past.unbroken() == 0);
  past.append(5000, 0.2, 0.3);
  past.append(5060, 0.4, 0.4);
  CHECK(past.unbroken() == 2);
  CHECK(past.highest(past.whole()) == 0.4);
  CHECK(past.lowest(past.whole()) == 0.2);
  CHECK(past.shape(past.whole()).walk == Approx(0.1));
}

TEST_CASE("a slope of half a minute is as exact after four weeks of seconds") {
  const auto slope_after = [](int before) {
    Past past;
    for (int i = -before; i < 30; ++i) past.append(2.4e6 + i, i < 0 ? 0.5 : 0.3 + 0.01 * i, 0.5);
    return past.shape({past.size() - 30, past.size()}).slope;
  };
  CHECK(std::abs(slope_after(0) - 0.01) < 1e-9);
  CHECK(std::abs(slope_after(2'400'000) - 0.01) < 1e-6);
}
