// SPDX-License-Identifier: Apache-2.0
#include "decide/decide.hpp"

#include <rapidcheck.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "base/error.hpp"
#include "decide/inputs.hpp"
#include "model/record.hpp"

namespace {

using namespace umbra;
using namespace umbra::decide;
using model::Priority;
using model::Resource;
using model::ShadowLevel;

Situation situation() {
  Situation s;
  s.forecast.within_s = 300;
  s.forecast.trigger = true;
  s.forecast.binding = Resource::cpu;
  auto& cpu = s.forecast.resources[Resource::cpu];
  cpu.p_saturation = 0.9;
  cpu.saturates_in_s = model::Quantiles{150, 200, 250};
  s.placement.host = model::HostName("beta");
  s.placement.terms = {{"cpu_headroom", 0.5}, {"memory_headroom", 0.4}};
  s.shadow = model::ShadowSection{model::ShadowId("s1"), model::HostName("beta"), ShadowLevel::seeded, false};
  s.memory = {256u << 20};
  s.dirty_rate = {1e6};
  s.bandwidth = {1e8};
  return s;
}

bool mentions(const std::vector<std::string>& sentences, const std::string& words) {
  return std::any_of(sentences.begin(), sentences.end(),
                     [&](const std::string& s) { return s.find(words) != std::string::npos; });
}

bool same(const model::Decision& a, const model::Decision& b) {
  return model::to_json(a) == model::to_json(b);
}

}  // namespace

TEST_CASE("a VM that will run out of room migrates") {
  const auto d = decide::decide(situation());
  CHECK(d.migrate);
  CHECK(d.gain == Approx(0.9 * (600 - 200) * 0.25));
  CHECK(d.net_benefit == Approx(d.gain - d.cost));
  CHECK(d.threshold == 4);
  CHECK(mentions(d.reasons, "cpu saturates with a chance of 90 %"));
  CHECK(mentions(d.would_change, "a net benefit below 4.0 s"));
  CHECK(mentions(d.would_change, "a chance of saturation below"));
  CHECK(d.model == "analytic/1");
}

TEST_CASE("it stays where moving costs more than it gains") {
  auto s = situation();
  s.memory = {64ull << 30};
  s.bandwidth = {1e7};
  const auto d = decide::decide(s);
  CHECK_FALSE(d.migrate);
  CHECK(d.cost > d.gain);
  CHECK(mentions(d.would_change, "a net benefit above 4.0 s"));
}

TEST_CASE("a dirty rate above the bandwidth is told and costs its blackout") {
  auto s = situation();
  s.memory = {16ull << 30};
  s.dirty_rate = {2e8};
  const auto d = decide::decide(s);
  CHECK_FALSE(d.migrate);
  CHECK(mentions(d.reasons, "memory is written faster than it can be sent"));
  CHECK(blackout_estimate(d)->count() > 100000);
}

TEST_CASE("it stays, whatever the gain, as long as something is missing") {
  auto s = situation();
  SECTION("a forecast that triggers") {
    s.forecast.trigger = false;
    CHECK(mentions(decide::decide(s).reasons, "no saturation is forecast"));
  }
  SECTION("a shadow") {
    s.shadow.reset();
    CHECK(mentions(decide::decide(s).reasons, "there is no shadow"));
  }
  SECTION("disks on the shadow") {
    s.shadow->level = ShadowLevel::defined;
    CHECK(mentions(decide::decide(s).would_change, "umbra replicate"));
  }
  SECTION("the placed host's shadow") {
    s.shadow->host = model::HostName("gamma");
    CHECK(mentions(decide::decide(s).reasons, "another host"));
  }
  const auto d = decide::decide(s);
  CHECK_FALSE(d.migrate);
  CHECK(d.net_benefit > d.threshold);
  CHECK_FALSE(mentions(d.would_change, "net benefit"));
}

TEST_CASE("a warm shadow is ready by its state alone") {
  auto s = situation();
  s.shadow->level = ShadowLevel::defined;
  s.state = model::StateSection{};
  s.state->level = ShadowLevel::warm;
  CHECK(decide::decide(s).migrate);
}

TEST_CASE("priority weighs gain, cost and threshold") {
  auto s = situation();
  s.priority = Priority::critical;
  const auto critical = decide::decide(s);
  s.priority = Priority::low;
  const auto low = decide::decide(s);
  CHECK(critical.gain == Approx(8 * low.gain));
  CHECK(critical.threshold < low.threshold);
}

TEST_CASE("outcomes correct the blackout and, where taken back, raise the threshold") {
  model::Outcome slow;
  slow.result = "switched";
  slow.blackout_ms = 800;
  slow.blackout_estimate_ms = 200;
  model::Outcome back;
  back.result = "rolled_back";
  const std::vector outcomes{slow, slow, slow, back};
  const Past past = past_of(outcomes);
  CHECK(past.switched == 3);
  CHECK(past.failed == 1);
  CHECK(past.blackout_ratio == Approx(4));

  auto s = situation();
  const auto before = decide::decide(s);
  s.past = past;
  const auto after = decide::decide(s);
  CHECK(after.inputs.at("estimate.blackout_s") == Approx(2.5 * before.inputs.at("estimate.blackout_s")));
  // What the next outcome is compared with stays the model's own: a correction must not correct itself away.
  CHECK(blackout_estimate(after) == blackout_estimate(before));
  CHECK(after.threshold == Approx(4 * 1.5));
  CHECK(past_of({}).blackout_ratio == 1);
}

TEST_CASE("a target without room to spare lowers the gain") {
  auto s = situation();
  const double roomy = decide::decide(s).gain;
  s.placement.terms["cpu_headroom"] = 0;
  CHECK(decide::decide(s).gain == Approx(roomy - 0.10 * 600 * 0.25));
}

TEST_CASE("numbers that are none are an error, not an answer") {
  auto s = situation();
  s.dirty_rate = {std::numeric_limits<double>::quiet_NaN()};
  CHECK_THROWS_WITH(decide::decide(s), "\"dirty_bytes_per_s\" is no finite number, so nothing can be decided");
  s = situation();
  s.bandwidth = {0};
  CHECK_THROWS_AS(decide::decide(s), base::Error);
}

TEST_CASE("a replay needs every number and the same model") {
  auto d = decide::decide(situation());
  auto other = d;
  other.model = "xgb/3";
  CHECK_THROWS_AS(replay(other), base::Error);
  d.inputs.erase("memory_bytes");
  CHECK_THROWS_WITH(replay(d), "the decision's inputs have no \"memory_bytes\"");
}

TEST_CASE("every recorded number matters: changing one changes the answer's numbers") {
  auto s = situation();
  s.placement.terms["memory_headroom"] = 0.05;
  s.past = {3, 1, 1.5};
  s.replica = model::Replica{};
  s.replica->dirty = {1u << 20};
  s.dirty_rate = {9e7};
  const auto d = decide::decide(s);
  for (const auto& [name, value] : d.inputs) {
    if (name.starts_with("estimate.") || name.starts_with("shadow_") || name == "target.cpu_headroom") continue;
    auto changed = d;
    changed.inputs[name] = name == "trigger" ? 0 : value * 0.37 + 0.01;
    const auto r = replay(changed);
    INFO(name);
    CHECK((r.migrate != d.migrate || r.gain != d.gain || r.cost != d.cost || r.threshold != d.threshold));
  }
}

namespace {

Situation any_situation() {
  Situation s;
  s.forecast.within_s = *rc::gen::inRange(60, 7200);
  s.forecast.trigger = *rc::gen::arbitrary<bool>();
  for (const Resource resource : model::all_resources) {
    if (*rc::gen::arbitrary<bool>()) continue;
    auto& f = s.forecast.resources[resource];
    f.p_saturation = *rc::gen::inRange(0, 1001) / 1000.0;
    const double at = s.forecast.within_s * *rc::gen::inRange(0, 1001) / 1000.0;
    if (f.p_saturation >= 0.05) f.saturates_in_s = model::Quantiles{at / 2, at, at};
  }
  s.placement.host = model::HostName("beta");
  s.placement.terms = {{"cpu_headroom", *rc::gen::inRange(0, 100) / 100.0}};
  const auto level = static_cast<ShadowLevel>(*rc::gen::inRange(0, 4));
  if (*rc::gen::inRange(0, 4) > 0)
    s.shadow = model::ShadowSection{model::ShadowId("s"), model::HostName("beta"), level, false};
  s.memory = {*rc::gen::inRange<std::uint64_t>(1, 64ull << 30)};
  s.dirty_rate = {*rc::gen::inRange(0, 300000) * 1e3};
  s.bandwidth = {*rc::gen::inRange(1000, 1200000) * 1e3};
  s.priority = static_cast<Priority>(*rc::gen::inRange(0, 4));
  s.past = {*rc::gen::inRange(0u, 20u), *rc::gen::inRange(0u, 5u), *rc::gen::inRange(1, 60) / 10.0};
  return s;
}

}  // namespace

TEST_CASE("laws of any decision") {
  CHECK(rc::check("a replay gives the same answer, also from the record's own line", [] {
    const auto d = decide::decide(any_situation());
    RC_ASSERT(same(replay(d), d));
    model::Record record(
        model::Vm{model::VmName("web1"), model::Uuid("u"), model::HostName("alpha"), Priority::normal});
    record.set(d);
    const auto read = *model::Record::parse(record.to_line()).decision();
    RC_ASSERT(same(read, d));
    RC_ASSERT(same(replay(read), d));
  }));
  CHECK(rc::check("a larger cost never turns stay into migrate", [] {
    const auto d = decide::decide(any_situation());
    auto costlier = d;
    const auto name = *rc::gen::element<std::string>("brownout_slowdown", "load_share", "past_blackout_ratio",
                                                     "handover_s", "delta_bytes");
    costlier.inputs[name] = d.inputs.at(name) * 2 + 1;
    const auto r = replay(costlier);
    RC_ASSERT(r.cost >= d.cost);
    RC_ASSERT((!r.migrate || d.migrate));
  }));
  CHECK(rc::check("a surer saturation never turns migrate into stay", [] {
    const auto d = decide::decide(any_situation());
    RC_PRE(d.inputs.contains("cpu.p_saturation"));
    auto surer = d;
    surer.inputs["cpu.p_saturation"] = std::min(1.0, d.inputs.at("cpu.p_saturation") + 0.1);
    RC_ASSERT((replay(surer).migrate || !d.migrate));
  }));
  CHECK(rc::check("it migrates only where the net benefit is above the threshold", [] {
    const auto d = decide::decide(any_situation());
    RC_ASSERT((!d.migrate || d.net_benefit > d.threshold));
    RC_ASSERT(!d.reasons.empty());
    RC_ASSERT(!d.would_change.empty());
  }));
}
