// SPDX-License-Identifier: Apache-2.0
// Between the end of QEMU's part of a migration and the answer that the guest runs over there: whatever is cut off, or
// dies, or both, in that moment, with Umbra or without it, never two run.
#include <fmt/core.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>

#include "fakes/thrown.hpp"
#include "matrix.hpp"

using namespace umbra;
using namespace umbra::switchover;
using fakes::Fault;
using fakes::SimWorld;

namespace {

constexpr unsigned for_long = 100'000;

/// How far the target's libvirt has come when the blow falls.
enum class Stage { handed_over, defined_there, runs_there };

struct Blow {
  std::string_view what;
  std::function<void(SimWorld&)> strike;
};

const std::vector<Blow>& blows() {
  static const std::vector<Blow> all{
      {"the link is cut", [](SimWorld& w) { w.cut_link(0); }},
      {"the source is cut off", [](SimWorld& w) { w.isolate(alpha, for_long); }},
      {"the target is cut off", [](SimWorld& w) { w.isolate(beta, for_long); }},
      {"the target's libvirtd dies", [](SimWorld& w) { w.stop_libvirtd(beta, for_long); }},
      {"the source's libvirtd dies", [](SimWorld& w) { w.stop_libvirtd(alpha, for_long); }},
      {"the target's host dies", [](SimWorld& w) { w.crash_host(beta, for_long); }},
  };
  return all;
}

/// The calls of a walk in which both halves stand.
std::vector<std::size_t> calls_in_handover() {
  SimWorld world = world_before(Way::there);
  world.link.stands_for = 6;
  std::vector<std::size_t> standing;
  Run run(world);
  walk(run, Way::there);
  const auto first = std::ranges::find(world.trace, "alpha begin move") - world.trace.begin();
  const auto last = std::ranges::find(world.trace, "journal move done") - world.trace.begin();
  for (auto call = first; call < last; ++call) standing.push_back(static_cast<std::size_t>(call) + 1);
  return standing;
}

/// What went wrong, a line each.
std::vector<std::string> wrong(const std::function<void(SimWorld&)>& arrange, std::size_t& cases) {
  std::vector<std::string> all;
  for (const std::size_t at : calls_in_handover()) {
    for (const Blow& blow : blows()) {
      for (const Fault::Kind kind : {Fault::Kind::blow, Fault::Kind::crash}) {
        for (const Stage stage : {Stage::handed_over, Stage::defined_there, Stage::runs_there}) {
          ++cases;
          const Fault fault{kind, Fault::When::after, at, blow.strike};
          const std::string verdict = verdict_of(Way::there, fault, [&](SimWorld& world) {
            world.link.stands_for = 6;
            world.link.handed_over = true;
            world.link.persists = stage == Stage::defined_there;
            world.link.arrives_unheard = stage == Stage::runs_there;
            arrange(world);
          });
          if (verdict.empty()) continue;
          all.push_back(fmt::format("call {}, {}{}, stage {}: {}", at, blow.what,
                                    kind == Fault::Kind::crash ? " and umbra" : "", static_cast<int>(stage), verdict));
        }
      }
    }
  }
  return all;
}

}  // namespace

TEST_CASE("an answer that is lost as the guest arrives never lets two run") {
  std::size_t cases = 0;
  CHECK(wrong([](SimWorld&) {}, cases) == std::vector<std::string>{});
  CHECK(cases > 200);
}

TEST_CASE("... which is found where the guard does not hold what was handed over") {
  std::size_t cases = 0;
  const std::vector<std::string> found = wrong([](SimWorld& world) { world.guard_holds = false; }, cases);
  CHECK(std::ranges::any_of(found, [](const std::string& one) { return one.find("runs on 2 hosts") != one.npos; }));
}

TEST_CASE("a guest that was handed over, and not taken, goes on where it was, with its memory") {
  SimWorld world = world_before(Way::there);
  world.link.stands_for = 6;
  world.link.handed_over = true;
  std::size_t held = 0;
  for (const std::size_t at : calls_in_handover()) {
    SimWorld struck = world;
    struck.fault = Fault{Fault::Kind::blow, Fault::When::after, at, [](SimWorld& w) {
                           // Later it is the target's.
                           if (!w.migration->arrived) w.cut_link(0);
                         }};
    Run run(struck);
    try {
      switch_over(run.ports, request_for(alpha, beta));
    } catch (const base::Error& e) {
      CHECK(e.kind() == base::Kind::io);
      CHECK(struck.running_on(web1) == std::vector{alpha});
    }
    CHECK(std::ranges::count(struck.trace, "alpha start") == 0);
    held += static_cast<std::size_t>(std::ranges::count(struck.trace, "alpha resume"));
    CHECK(untidy(struck) == "");
  }
  CHECK(held > 0);
}

TEST_CASE("a guest that the target could not let run goes on where it was, with its memory") {
  SimWorld world = world_before(Way::there);
  world.link.fails_at_start = true;
  {
    Run run(world);
    CHECK(test::kind_of([&] { switch_over(run.ports, request_for(alpha, beta)); }) == base::Kind::io);
  }
  CHECK(world.running_on(web1) == std::vector{alpha});
  CHECK(std::ranges::count(world.trace, "alpha resume") == 1);
  CHECK(untidy(world) == "");
}

TEST_CASE("a run that dies before the guest goes on is followed by one that lets it") {
  SimWorld world = world_before(Way::there);
  world.link.fails_at_start = true;
  {
    Run run(world);
    CHECK(test::kind_of([&] { switch_over(run.ports, request_for(alpha, beta)); }) == base::Kind::io);
  }
  const auto resumes = std::ranges::find(world.trace, "alpha resume") - world.trace.begin();
  SimWorld again = world_before(Way::there);
  again.link.fails_at_start = true;
  again.fault = Fault{Fault::Kind::crash, Fault::When::before, static_cast<std::size_t>(resumes) + 1, {}};
  {
    Run run(again);
    CHECK_THROWS_AS(switch_over(run.ports, request_for(alpha, beta)), fakes::SimCrash);
  }
  CHECK(again.running_on(web1).empty());
  again.new_run();
  Run run(again);
  CHECK(recover(run.ports).size() == 1);
  CHECK(again.running_on(web1) == std::vector{alpha});
  CHECK(untidy(again) == "");
}
