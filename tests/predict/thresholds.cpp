// SPDX-License-Identifier: Apache-2.0
#include "predict/thresholds.hpp"

#include <rapidcheck.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <vector>

#include "series.hpp"

namespace {

using namespace umbra;
using namespace umbra::predict;
using model::Priority;
using model::Resource;

constexpr double step_s = 600;
constexpr double origin_s = 1.7e9;

/// `days` of readings up to the origin; `shape` gets days since the first.
Past past_of(double days, const std::function<double(double)>& shape) {
  Past past;
  const auto count = static_cast<std::size_t>(days * day / step_s);
  for (std::size_t i = 0; i < count; ++i) {
    const double since_first = static_cast<double>(i) * step_s;
    const double value = shape(since_first / day);
    past.append(origin_s - days * day + since_first + step_s, value, value);
  }
  return past;
}

Threshold of(const Past& past, Resource resource = Resource::cpu, Priority priority = Priority::normal) {
  return threshold_of(resource, std::nullopt, priority, past);
}

bool within(double hour_of_day, double from, double to) {
  return hour_of_day >= from && hour_of_day < to;
}

double hour_of(double days) {
  return 24 * (days - std::floor(days));
}

/// Each night from 1 to 9 at `level`, else at 0.4.
std::function<double(double)> nightly(double level) {
  return [level](double t) { return within(hour_of(t), 1, 9) ? level : 0.4; };
}

bool mentions(const Threshold& threshold, const std::string& words) {
  INFO(threshold.reason);
  const bool found = threshold.reason.find(words) != std::string::npos;
  CHECK(found);
  return found;
}

}  // namespace

TEST_CASE("a VM that runs at 95 % each night is in trouble above that alone") {
  const Threshold t = of(past_of(6, nightly(0.95)));
  CHECK(t.source == "learned");
  CHECK(t.value.value == Approx(0.975));
  CHECK(t.reason == "runs at 0.90 or above for 33 % of the last 6 days, mostly up to 0.95, without rising further");
}

TEST_CASE("a VM that always runs at 95 % is in trouble above that alone, its memory too") {
  test::Noise noise(7, 0.003);
  const Past past = past_of(5, [&](double) { return 0.95 + noise(); });
  for (const Resource resource : {Resource::cpu, Resource::memory, Resource::gpu_memory}) {
    const Threshold t = of(past, resource);
    CHECK(t.source == "learned");
    CHECK(t.value.value > 0.96);
    CHECK(t.value.value <= 0.98);
  }
}

TEST_CASE("a VM that works five days a week keeps what it has taught on every day of the week") {
  for (int first = 0; first < 7; ++first) {
    const Threshold t = of(past_of(8, [&](double days) {
      const int weekday = (static_cast<int>(days) + first) % 7;
      return weekday < 5 && within(hour_of(days), 8, 18) ? 0.94 : 0.2;
    }));
    INFO("first day " << first << ": " << t.reason);
    CHECK(t.source == "learned");
  }
}

TEST_CASE("a leak does not teach its own innocence") {
  SECTION("rising to the default within the past") {
    const Threshold t = of(past_of(8, [](double d) { return 0.75 + 0.03 * d; }), Resource::memory);
    CHECK(t.value.value == 0.92);
    mentions(t, "not its ordinary level");
  }
  SECTION("rising slowly beyond the default from the first day on") {
    const Threshold t = of(past_of(8, [](double d) { return 0.925 + 0.005 * d; }), Resource::memory);
    CHECK(t.value.value == 0.92);
    CHECK(t.source == "default");
    mentions(t, "but rising, from 0.9");
  }
  SECTION("with a restart each day") {
    const Threshold t = of(past_of(8, [](double d) { return 0.80 + 0.17 * (d - std::floor(d)); }), Resource::memory);
    CHECK(t.value.value == 0.92);
    mentions(t, "passes through without holding a level");
  }
}

TEST_CASE("what happened once does not raise a threshold, however long it took") {
  const auto once = [](double from, double to) {
    return of(past_of(8, [=](double d) { return within(d, from, to) ? 0.95 : 0.3; }));
  };
  for (const Threshold& t : {once(7, 8), once(0, 1), once(3.5, 4.5), once(1.2, 6.8)}) {
    CHECK(t.value.value == 0.90);
    CHECK(t.source == "default");
    mentions(t, "not its ordinary level");
  }
}

TEST_CASE("a plateau of the newest days alone does not raise a threshold") {
  const Threshold t = of(past_of(8, [](double d) { return d >= 4.5 ? nightly(0.95)(d) : 0.3; }));
  CHECK(t.source == "default");
  mentions(t, "on 3 of them for long: not its ordinary level");
}

TEST_CASE("short spikes are no ordinary level, however many they are") {
  const Threshold t = of(past_of(8, [](double d) { return within(hour_of(d), 3, 4) ? 0.95 : 0.3; }));
  CHECK(t.value.value == 0.90);
  mentions(t, "not its ordinary level");
}

TEST_CASE("a job of two hours each night is an ordinary level") {
  const Threshold t = of(past_of(6, [](double d) { return within(hour_of(d), 1, 3) ? 0.95 : 0.3; }));
  CHECK(t.source == "learned");
  CHECK(t.value.value == Approx(0.975));
}

TEST_CASE("two days of history are too few to learn from") {
  const Threshold t = of(past_of(2, nightly(0.95)));
  CHECK(t.value.value == 0.90);
  CHECK(t.reason == "reaches 0.90, but there are 2 days of readings to learn from, and 3 are needed");
}

TEST_CASE("days that were hardly seen do not count") {
  Past past;
  for (int d = 0; d < 8; ++d) {
    for (int i = 0; i < 8; ++i) past.append(origin_s + d * day + i * 600, 0.95, 0.95);
  }
  CHECK(of(past).source == "default");
  mentions(of(past), "there are 0 days of readings");
}

TEST_CASE("how densely a day was sampled does not matter") {
  // Its nights every 10 minutes, its days twice a minute.
  Past past;
  for (double t = step_s; t <= 6 * day;) {
    const double value = nightly(0.95)(t / day);
    past.append(origin_s + t, value, value);
    t += value > 0.9 ? 600 : 30;
  }
  CHECK(of(past).value.value == Approx(0.975));
  mentions(of(past), "for 33 % of the last 6 days");
}

TEST_CASE("a VM that runs full teaches nothing") {
  const Threshold t = of(past_of(8, nightly(1.0)));
  CHECK(t.value.value == 0.90);
  CHECK(t.source == "default");
  mentions(t, "so near full that what it lacks cannot be seen");
}

TEST_CASE("a VM that never comes near its default keeps it") {
  const Threshold t = of(past_of(8, nightly(0.5)));
  CHECK(t.value.value == 0.90);
  CHECK(t.reason == "has not reached 0.90 in 7d23h of history");
  CHECK(of(past_of(8, nightly(0.5)), Resource::net).value.value == 0.85);
}

TEST_CASE("a critical VM is warned earlier and a low one later, and the reason says by how much") {
  const Past calm = past_of(8, nightly(0.5));
  CHECK(of(calm, Resource::cpu, Priority::critical).value.value == Approx(0.88));
  CHECK(of(calm, Resource::cpu, Priority::high).value.value == Approx(0.89));
  CHECK(of(calm, Resource::cpu, Priority::low).value.value == Approx(0.92));
  mentions(of(calm, Resource::cpu, Priority::critical), "; critical: 0.02 earlier");
  mentions(of(calm, Resource::cpu, Priority::low), "; low: 0.02 later");

  const Past busy = past_of(8, nightly(0.94));
  CHECK(of(busy, Resource::cpu, Priority::critical).value.value == Approx(0.955));
  mentions(of(busy, Resource::cpu, Priority::critical), "; critical: 0.015 earlier");
}

TEST_CASE("a critical VM is not warned of what it ordinarily does") {
  const Threshold t = of(past_of(8, nightly(0.89)), Resource::cpu, Priority::critical);
  CHECK(t.value.value == 0.90);
  CHECK(of(past_of(8, nightly(0.885)), Resource::cpu, Priority::critical).value.value == Approx(0.89));
  mentions(t, "; critical, but 0.88 is ordinary for it");
}

TEST_CASE("a configured threshold is what it is, whatever the priority and the past") {
  const Past busy = past_of(8, nightly(0.95));
  for (const Priority p : {Priority::critical, Priority::low}) {
    const Threshold t = threshold_of(Resource::cpu, model::Fraction{0.7}, p, busy);
    CHECK(t.value.value == 0.7);
    CHECK(t.source == "configured");
    CHECK(t.reason == "set in the configuration");
  }
}

TEST_CASE("whatever the past: within bounds, and the higher the priority the lower") {
  CHECK(rc::check("thresholds", [] {
    const double days = *rc::gen::inRange(1, 40) / 4.0;
    const auto levels = *rc::gen::container<std::vector<int>>(80, rc::gen::inRange(60, 108));
    const Past past = past_of(days, [&](double d) { return levels[static_cast<std::size_t>(8 * d) % 80] / 100.0; });
    const Resource resource = *rc::gen::elementOf(model::all_resources);
    double lower = 0;
    for (const Priority p : {Priority::critical, Priority::high, Priority::normal, Priority::low}) {
      const Threshold t = of(past, resource, p);
      RC_ASSERT(t.value.value >= lower);
      RC_ASSERT(t.value.value >= default_threshold(resource) - 0.021);
      RC_ASSERT(t.value.value <= 0.98);
      RC_ASSERT(!t.reason.empty());
      RC_ASSERT((t.source != "learned" || t.value.value > default_threshold(resource)));
      RC_CLASSIFY(t.source == "learned");
      lower = t.value.value;
    }
  }));
}
