// SPDX-License-Identifier: Apache-2.0
#include "predict/walk.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <set>

#include "predict/examples.hpp"

namespace {

using namespace umbra;
using namespace umbra::predict;
using model::Resource;

model::Series series_of(const std::vector<double>& cpu, double step_s) {
  model::Series series;
  series.vm = model::VmName("web1");
  for (std::size_t i = 0; i < cpu.size(); ++i) {
    model::Sample sample;
    sample.at = base::Instant(base::Millis(static_cast<std::int64_t>(1.7e12 + 1000 * step_s * static_cast<double>(i))));
    sample[Resource::cpu] = cpu[i];
    if (i % 3 != 1) sample[Resource::memory] = 1 - cpu[i];
    series.samples.push_back(sample);
  }
  return series;
}

std::vector<double> some_day(std::size_t count) {
  return *rc::gen::container<std::vector<double>>(
      count, rc::gen::map(rc::gen::inRange(0, 101), [](int n) { return n / 100.0; }));
}

std::vector<float> features_at(const model::Series& series, std::size_t reading, const Ask& ask) {
  Walk walk(series, Resource::cpu, ask);
  while (walk.next() && walk.reading() < reading) {
  }
  std::vector<float> row;
  append_features(walk.view(), row);
  return row;
}

}  // namespace

TEST_CASE("what comes after an origin changes none of its features, to the last bit") {
  CHECK(rc::check("cut off or not", [] {
    const std::vector<double> values = some_day(*rc::gen::inRange<std::size_t>(20, 400));
    const std::size_t origin = *rc::gen::inRange<std::size_t>(13, values.size());
    const Ask ask{0.9, *rc::gen::element(60.0, 900.0, 3600.0)};
    const auto whole = features_at(series_of(values, 300), origin, ask);
    const std::vector<double> cut(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(origin) + 1);
    const auto known = features_at(series_of(cut, 300), origin, ask);
    RC_ASSERT(whole.size() == feature_names().size());
    RC_ASSERT(std::memcmp(whole.data(), known.data(), whole.size() * sizeof(float)) == 0);
  }));
}

TEST_CASE(
    "features know no step: the same course at another pace of the clock is the same to windows of as many steps") {
  // Two hours of steps of a second and of a minute; what goes by the clock's hours and days differs.
  std::vector<double> values;
  for (int i = 0; i < 120; ++i) values.push_back(0.5 + 0.4 * std::sin(i / 7.0));
  const auto second = features_at(series_of(values, 1), 119, {0.8, 12});
  const auto minute = features_at(series_of(values, 60), 119, {0.8, 720});
  const auto& names = feature_names();
  std::size_t alike = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].starts_with("hour") || names[i].starts_with("minute") || names[i].starts_with("day_")) continue;
    INFO(names[i]);
    CHECK((std::isnan(second[i]) == std::isnan(minute[i])));
    if (!std::isnan(second[i])) CHECK(second[i] == Approx(minute[i]).margin(1e-4));
    ++alike;
  }
  CHECK(alike > 100);
}

TEST_CASE("an origin has twelve readings before it without a gap of months, whatever was before that") {
  model::Series series = series_of(std::vector<double>(40, 0.5), 300);
  for (std::size_t i = 20; i < 40; ++i) series.samples[i].at += std::chrono::days(400);
  Walk walk(series, Resource::cpu, {});
  std::vector<std::size_t> origins;
  while (walk.next()) {
    if (walk.is_origin()) origins.push_back(walk.reading());
  }
  CHECK(origins == std::vector<std::size_t>{12, 13, 14, 15, 16, 17, 18, 19, 32, 33, 34, 35, 36, 37, 38, 39});
}

TEST_CASE("every feature has a name of its own") {
  const auto& names = feature_names();
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == names.size());
  CHECK(names.front() == "now");
  CHECK(course_columns() < names.size());
}

TEST_CASE("examples look at nothing past the time until which they are drawn") {
  const std::vector<double> calm(100, 0.2);
  std::vector<double> stormy = calm;
  for (std::size_t i = 60; i < stormy.size(); ++i) stormy[i] = 1;
  Draw draw;
  draw.until = 1.7e9 + 300 * 59;
  Dice dice(1);
  Dice same(1);
  const Examples a = varied_examples_of(series_of(calm, 300), Resource::cpu, 8, draw, dice);
  const Examples b = varied_examples_of(series_of(stormy, 300), Resource::cpu, 8, draw, same);
  REQUIRE(a.rows() > 50);
  CHECK(a.saturated == b.saturated);
  CHECK(a.rise == b.rise);
  CHECK(a.features.size() == b.features.size());
  CHECK(std::memcmp(a.features.data(), b.features.data(), a.features.size() * sizeof(float)) == 0);
}

TEST_CASE("the same seed draws the same examples, another seed others") {
  std::vector<double> values;
  for (int i = 0; i < 300; ++i) values.push_back(0.5 + 0.4 * std::sin(i / 9.0));
  const auto drawn = [&](std::uint64_t seed) {
    Dice dice(seed);
    return varied_examples_of(series_of(values, 300), Resource::cpu, 4, {.share = 0.3}, dice).time;
  };
  CHECK(drawn(1) == drawn(1));
  CHECK(drawn(1) != drawn(2));
}
