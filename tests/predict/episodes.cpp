// SPDX-License-Identifier: Apache-2.0
#include "predict/episodes.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

namespace {

using namespace umbra;
using namespace umbra::predict;

constexpr double start = 1.7e9;
constexpr double step_s = 60;
constexpr double window_s = 600;
const BacktestPlan plan{model::Resource::cpu, {0.9, window_s}, 0};

/// A back-test put together by hand: quiet readings, with events where they are wanted.
struct Scene {
  std::vector<model::Series> series;
  std::vector<Verified> verified;

  /// A VM of so many readings, each an origin. Events are by reading: onsets with what was said before, false alarms.
  void vm(std::size_t readings, const std::vector<std::pair<std::size_t, double>>& onsets,
          const std::vector<std::size_t>& alarms = {}) {
    model::Series one;
    one.vm = model::VmName("vm" + std::to_string(series.size()));
    for (std::size_t i = 0; i < readings; ++i) {
      model::Sample sample;
      sample.at = base::Instant(base::Millis(static_cast<std::int64_t>(1000 * time(i))));
      sample[model::Resource::cpu] = i % 97 == 0 ? 0.8 : 0.3;
      one.samples.push_back(sample);
      Verified v;
      v.vm = series.size();
      v.time = time(i);
      v.outcome = {false, true, 0.3, missing};
      v.p_saturation = std::ranges::count(alarms, i) > 0 ? 0.8 : 0.05;
      for (const auto& [at, p] : onsets) {
        if (i + 5 != at) continue;
        v.outcome = {true, true, 0.95, 5 * step_s};
        v.p_saturation = p;
      }
      verified.push_back(v);
    }
    series.push_back(one);
  }
  static double time(std::size_t reading) { return start + step_s * static_cast<double>(reading); }
  std::vector<Episode> chosen(std::size_t most = 6) const { return episodes(series, plan, verified, 0.5, most); }
};

}  // namespace

TEST_CASE("the VMs with the most of a kind are shown, at the middle one") {
  Scene scene;
  scene.vm(2000, {{500, 0.9}});
  scene.vm(2000, {{500, 0.9}, {1000, 0.8}, {1500, 0.9}});
  scene.vm(2000, {{500, 0.1}, {1000, 0.2}});
  scene.vm(2000, {}, {300, 800, 1300});
  const auto all = scene.chosen();
  REQUIRE(all.size() >= 4);
  CHECK(all[0].interest == Interest::warned);
  CHECK(all[0].vm.get() == "vm1");
  CHECK(all[0].event.time == Scene::time(1000));
  CHECK(all[0].onsets == 3);
  CHECK(all[1].interest == Interest::missed);
  CHECK(all[1].vm.get() == "vm2");
  CHECK(all[1].warned == 0);
  CHECK(all[2].interest == Interest::false_alarm);
  CHECK(all[2].vm.get() == "vm3");
  CHECK(all[2].event.time == Scene::time(800));
  CHECK(all[2].false_alarms == 3);
  CHECK(all[3].interest == Interest::typical);
  CHECK(all[3].vm.get() == "vm2");  // 1, 2, 3 onsets
}

TEST_CASE("stretches never overlap, another VM comes before the same again, and there are no more than wanted") {
  Scene scene;
  scene.vm(4000, {{400, 0.9}, {410, 0.1}, {420, 0.9}, {3000, 0.9}});
  scene.vm(4000, {{2000, 0.9}});
  const auto all = scene.chosen();
  REQUIRE(all.size() >= 3);
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      CHECK((all[i].vm != all[j].vm || all[i].from >= all[j].to || all[i].to <= all[j].from));
    }
  }
  CHECK(std::set<std::string>{all[0].vm.get(), all[1].vm.get(), all[2].vm.get()}.size() == 2);
  CHECK(scene.chosen(2).size() == 2);
  CHECK(scene.chosen(0).empty());
}

TEST_CASE("a stretch holds the VM's own readings and forecasts around the event") {
  Scene scene;
  scene.vm(2000, {{500, 0.9}});
  scene.vm(2000, {{1000, 0.1}});
  const auto all = scene.chosen();
  REQUIRE(all.size() == 2);
  for (const Episode& one : all) {
    CHECK(one.from == one.event.time - 6 * window_s);
    CHECK(one.to == one.event.time + 4 * window_s);
    CHECK(one.readings.size() == 100);
    CHECK(one.onset_times == std::vector<double>{one.event.time});
    REQUIRE(one.forecasts.size() == 101);
    for (const Verified& v : one.forecasts) CHECK((v.vm == one.event.vm && v.time >= one.from && v.time <= one.to));
  }
}

TEST_CASE("a long stretch is thinned to what a picture shows, its highest reading kept") {
  Scene scene;
  scene.vm(9000, {{5000, 0.9}});
  BacktestPlan long_windows = plan;
  long_windows.ask.window_s = 21600;  // 3600 readings
  scene.series[0].samples[4001][model::Resource::cpu] = 0.89;
  const auto all = episodes(scene.series, long_windows, scene.verified, 0.5, 1);
  REQUIRE(all.size() == 1);
  CHECK(all[0].readings.size() <= 600);
  CHECK(all[0].forecasts.size() <= 240);
  CHECK(all[0].forecasts.size() > 200);
  CHECK(std::ranges::max_element(all[0].readings, {}, &MeasuredReading::peak)->peak == 0.89);
}

TEST_CASE("where nothing happened the highest forecast is shown, and of no forecasts nothing") {
  Scene scene;
  scene.vm(500, {});
  scene.verified[123].p_saturation = 0.2;
  const auto all = scene.chosen();
  REQUIRE(all.size() == 1);
  CHECK(all[0].interest == Interest::highest);
  CHECK(all[0].event.time == Scene::time(123));
  scene.verified.clear();
  CHECK(scene.chosen().empty());
}
