// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/backtest_page.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <pugixml.hpp>
#include <sstream>

#include "cmd/output/table.hpp"

namespace {

using namespace umbra;
using namespace umbra::cmd;
using predict::Verified;

constexpr double start = 1.7e9;
constexpr double step_s = 300;

enum class Truth { some, none, all };

/// Forecasts of one VM, higher where saturation comes; every one after a quiet window where `quiet`.
std::vector<Verified> forecasts(std::size_t count, Truth truth, bool quiet = true) {
  std::vector<Verified> all(count);
  for (std::size_t i = 0; i < count; ++i) {
    Verified& v = all[i];
    const bool comes = truth == Truth::all || (truth == Truth::some && i % 7 == 0);
    v.time = start + step_s * static_cast<double>(i);
    v.now = 0.4;
    v.p_saturation = std::fmod(static_cast<double>(i) * 0.618034, 0.6) + (comes ? 0.4 : 0);
    v.peak = {0.3, 0.5, 0.8};
    v.outcome = {comes, quiet, comes ? 0.95 : 0.5, comes ? 1500 : predict::missing};
    v.first_s = {600, 1200, 1800};
  }
  return all;
}

predict::Times times_of(const std::vector<Verified>& verified) {
  return predict::time_scores(verified, predict::plain_times(verified, 1800));
}

BacktestPage page_of(const std::vector<Verified>& verified, const std::string& vm = "web1") {
  BacktestPage page;
  page.trace = "week.csv";
  page.ask = {0.9, 1800};
  page.vms = 1;
  page.origins = verified.size();
  page.contenders.push_back(contender_of("model", verified, predict::score(verified, 1800), times_of(verified)));
  const auto flat = predict::baseline(verified, std::vector<double>(verified.size(), 0));
  page.contenders.push_back(contender_of("base rate", flat, predict::score(flat, 1800), times_of(flat)));
  model::Series series;
  series.vm = model::VmName(vm);
  for (const Verified& v : verified) {
    model::Sample sample;
    sample.at = base::Instant(base::Millis(static_cast<std::int64_t>(v.time * 1000)));
    sample[model::Resource::cpu] = v.now;
    series.samples.push_back(sample);
  }
  page.episodes = predict::episodes(std::vector{series}, {model::Resource::cpu, page.ask, 0}, verified, 0.5, 6);
  return page;
}

struct Parsed {
  explicit Parsed(const BacktestPage& page) {
    html = to_html(page);
    const auto result = document.load_string(html.c_str(), pugi::parse_full);
    INFO(result.description() << " at " << result.offset);
    REQUIRE(result);
  }
  std::vector<std::string> texts(const char* path) const {
    std::vector<std::string> all;
    for (const auto& found : document.select_nodes(path)) all.emplace_back(found.node().text().get());
    return all;
  }
  std::size_t count(const char* path) const { return document.select_nodes(path).size(); }
  std::string html;
  pugi::xml_document document;
};

/// The x of each point of a path.
std::vector<double> across(const std::string& path) {
  std::vector<double> all;
  for (std::size_t at = path.find_first_of("ML"); at != std::string::npos; at = path.find_first_of("ML", at + 1)) {
    all.push_back(std::stod(path.substr(at + 1)));
  }
  return all;
}

constexpr auto curves = "//svg[contains(@aria-label, 'recall')]//path";
constexpr auto sentences = "//p[@class='nothing']";

}  // namespace

TEST_CASE("a page is whole by itself: well-formed, without a script, asking for nothing from elsewhere") {
  const Parsed page(page_of(forecasts(500, Truth::some)));
  CHECK(page.html.starts_with("<!DOCTYPE html>"));
  for (const char* outside : {"http:", "https:", "<script", "src=", "href=", "url(", "@import", "javascript"}) {
    INFO(outside);
    CHECK(page.html.find(outside) == std::string::npos);
  }
  CHECK(page.html.find("nan") == std::string::npos);
  CHECK(page.count("//svg[@role='img']") == 5 + page.count("//figure[@class='episode']"));
  CHECK(page.count("//figure[@class='episode']") >= 2);
}

TEST_CASE("a VM, a trace and a model may be called anything") {
  const std::string name = "</bdi><b>&\"x\"\xff\x01";
  BacktestPage values = page_of(forecasts(500, Truth::some), name);
  values.trace = name;
  values.contenders[0].name = name;
  const Parsed page(values);
  CHECK(page.count("//b") == 0);
  CHECK(page.texts("//bdi").at(0) == "</bdi><b>&\"x\"\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(page.texts("//title").at(0).find("<b>") != std::string::npos);
}

TEST_CASE("the tables tell every forecaster's figures") {
  const BacktestPage values = page_of(forecasts(500, Truth::some));
  const Parsed page(values);
  CHECK(page.count("//table") == 5);
  CHECK(page.texts("//caption[contains(., 'Times')]") ==
        std::vector<std::string>{"Times to saturation, all: 72", "Times to saturation, after a quiet window: 72"});
  CHECK(Parsed(page_of(forecasts(500, Truth::none))).count("//caption[contains(., 'Times')]") == 0);
  for (const Contender& one : values.contenders) {
    for (const auto& told :
         {one.scores.all.brier_skill, one.scores.all.average_precision, one.scores.onsets.average_precision,
          one.scores.all.recall_at_precision_80, std::optional(one.scores.peak.coverage),
          one.times.onsets.pinball_ratio, std::optional(one.times.onsets.coverage),
          std::optional(one.scores.all.calibration_error)}) {
      const std::string cell = "//tr[th='" + one.name + "']/td[.='" + figure(told) + "']";
      INFO(cell);
      CHECK(page.count(cell.c_str()) >= 1);
    }
  }
}

TEST_CASE("curves go on in recall, and each forecaster has one") {
  const Parsed page(page_of(forecasts(3000, Truth::some)));
  std::size_t drawn = 0;
  for (const auto& found : page.document.select_nodes(curves)) {
    const auto x = across(found.node().attribute("d").value());
    REQUIRE(x.size() >= 2);
    CHECK(std::ranges::is_sorted(x));
    CHECK(x.back() == 500);  // all are told in the end
    ++drawn;
  }
  CHECK(drawn == 4);
}

TEST_CASE("reliability has a dot for each bin with forecasts, further right for each") {
  const BacktestPage values = page_of(forecasts(3000, Truth::some));
  const Parsed page(values);
  std::vector<double> x;
  for (const auto& found : page.document.select_nodes("(//svg[contains(@aria-label, 'Reliability')])[1]//circle")) {
    x.push_back(found.node().attribute("cx").as_double());
  }
  CHECK(x.size() == values.contenders[0].all.reliability.size());
  CHECK(std::ranges::is_sorted(x));
}

TEST_CASE("where nothing saturated a sentence says so in the curves' place") {
  const Parsed page(page_of(forecasts(200, Truth::none)));
  CHECK(page.count(curves) == 0);
  const auto told = page.texts(sentences);
  REQUIRE(told.size() == 2);
  CHECK(told[0] == "None of the 200 windows saturated, so no alarm could come true.");
  CHECK(told[1] == "None of the 200 windows after a quiet one saturated, so no alarm could come true.");
}

TEST_CASE("where everything saturated a sentence says so in the curves' place") {
  const Parsed page(page_of(forecasts(200, Truth::all)));
  CHECK(page.count(curves) == 0);
  CHECK(page.texts(sentences).at(0) == "All of the 200 windows saturated, so every alarm came true.");
}

TEST_CASE("where no window was quiet a sentence says so in the place of both curves about onsets") {
  const Parsed page(page_of(forecasts(200, Truth::some, false)));
  CHECK(page.count(curves) == 2);
  const auto told = page.texts(sentences);
  REQUIRE(told.size() == 2);
  CHECK(told[0].starts_with("No window after a quiet one was seen"));
  CHECK(told[1].starts_with("No window after a quiet one was seen"));
}

TEST_CASE("a page of nothing verified is still a page") {
  const Parsed page(page_of({}));
  CHECK(page.count("//svg//path[contains(@class, 'series')]") == 0);
  CHECK(page.html.find("nan") == std::string::npos);
}

TEST_CASE("a hole in what was measured is a hole in the line") {
  BacktestPage values = page_of(forecasts(500, Truth::some));
  values.episodes.resize(1);
  const char* lines = "//figure[@class='episode']//path[@class='line measured']";
  CHECK(Parsed(values).count(lines) == 1);
  auto& readings = values.episodes[0].readings;
  readings.erase(readings.begin() + 10, readings.begin() + 14);
  CHECK(Parsed(values).count(lines) == 2);
}

TEST_CASE("an onset is marked and told at its time") {
  BacktestPage values = page_of(forecasts(500, Truth::some));
  values.episodes.resize(1);
  values.episodes[0].event.time = 1700000100;  // 2023-11-14T22:15:00Z
  values.episodes[0].onset_times = {1700000100};
  const Parsed page(values);
  const auto marks = page.texts("//path[@class='line onset']/title");
  CHECK(marks == std::vector<std::string>{"onset at 2023-11-14 22:15"});
  CHECK(page.html.find("At 2023-11-14 22:15 cpu reached 0.9; ") != std::string::npos);
}

TEST_CASE("half a million forecasts make a page below a megabyte") {
  CHECK(to_html(page_of(forecasts(500'000, Truth::some))).size() < 1'000'000);
}
