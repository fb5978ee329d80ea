// SPDX-License-Identifier: Apache-2.0
// One host is gone for good in the middle of a walk. The walk can be ended without it, at whatever call it was cut; and
// should the host come back, at no moment do two run.
#include <catch2/catch.hpp>

#include "fakes/thrown.hpp"
#include "matrix.hpp"

using namespace umbra;
using namespace umbra::switchover;
using base::Kind;
using fakes::Fault;

namespace {

std::size_t calls_of_walk() {
  fakes::SimWorld world = world_before(Way::there);
  Run run(world);
  walk(run, Way::there);
  return world.calls;
}

fakes::SimWorld cut_at(std::size_t call) {
  fakes::SimWorld world = world_before(Way::there);
  world.fault = Fault{Fault::Kind::crash, Fault::When::after, call, {}};
  Run run(world);
  CHECK_THROWS_AS(walk(run, Way::there), fakes::SimCrash);
  return world;
}

/// For good: it does not come back by itself.
void lose(fakes::SimWorld& world, const model::HostName& host) {
  world.crash_host(host, 0);
  for (int i = 0; i < 20; ++i) world.event();
  world.new_run();
}

/// What the guest was told on the host that is gone is the loss that is told.
void accept_loss_to(fakes::SimWorld& world, const model::HostName& host) {
  fakes::SimHost& there = world.hosts.at(host);
  if (!world.running_on(web1).empty()) return;
  for (auto& [disk, blocks] : world.guests.at(web1).acknowledged) {
    std::string path = "/images/web1-" + disk.get() + ".qcow2";
    for (const auto& [file, content] : there.files) {
      if (file.starts_with("/images/web1-" + disk.get() + ".umbra-")) path = file;
    }
    for (auto& [block, number] : blocks) number = fakes::SimWorld::read(there, path, block);
  }
}

std::vector<Recovered> forget(fakes::SimWorld& world, const model::HostName& host) {
  world.new_run();
  Run run(world);
  return recover_without(run.ports, {web1, host});
}

/// The host is back after all, and everybody types `virsh start` everywhere.
void come_back(fakes::SimWorld& world) {
  world.heal();
  world.new_run();
  start_on_both(world);
  world.event();
}

void check_runs_alone(fakes::SimWorld& world, const model::HostName& host) {
  CHECK_FALSE(any_open(world));
  CHECK(world.registry.empty());
  CHECK(world.leases.empty());
  CHECK(world.running_on(web1) == std::vector{host});
  come_back(world);
  CHECK(world.running_on(web1) == std::vector{host});
}

void guarded(std::size_t at, const std::function<void()>& scenario) {
  try {
    scenario();
  } catch (const fakes::SimViolation& violation) {
    FAIL("violated at call " << at << ": " << violation.what);
  } catch (const base::Error& e) {
    FAIL("error at call " << at << ": " << e.what());
  }
}

}  // namespace

TEST_CASE("a walk whose source is gone for good is finished without it, or its newest point activated") {
  const std::size_t calls = calls_of_walk();
  std::size_t finished = 0;
  std::size_t activated = 0;
  for (std::size_t at = 1; at <= calls; ++at) {
    guarded(at, [&] {
      fakes::SimWorld world = cut_at(at);
      INFO("cut after call " << at << ": " << world.trace.back());
      if (!any_open(world)) return;
      lose(world, alpha);
      const bool had_moved = world.running_on(web1) == std::vector{beta};
      try {
        const auto recovered = forget(world, alpha);
        CHECK(had_moved);
        CHECK(recovered.at(0).outcome.host == beta);
        CHECK(forget(world, alpha).empty());
        CHECK(world.hosts.at(beta).domains.at(web1).defined->autostart);
        check_runs_alone(world, beta);
        ++finished;
      } catch (const base::Error& e) {
        if (e.kind() != Kind::refused) throw;
        CHECK_FALSE(had_moved);
        CHECK(e.hint() == "umbra switchover web1 --from-point");
        world.cut_power(alpha);
        world.new_run();
        Run run(world);
        from_point(run.ports, request_for(alpha, beta));
        CHECK(world.running_on(web1) == std::vector{beta});
        ++activated;
      }
    });
  }
  CHECK(finished > 10);
  CHECK(activated > 20);
}

TEST_CASE("a walk whose target is gone for good is taken back without it, the loss told where it may have run there") {
  const std::size_t calls = calls_of_walk();
  std::size_t lost = 0;
  std::size_t reversed = 0;
  for (std::size_t at = 1; at <= calls; ++at) {
    guarded(at, [&] {
      fakes::SimWorld world = cut_at(at);
      INFO("cut after call " << at << ": " << world.trace.back());
      if (!any_open(world)) return;
      const bool ran_there = world.running_on(web1) == std::vector{beta};
      lose(world, beta);
      accept_loss_to(world, alpha);
      if (!world.hosts.at(alpha).domains.contains(web1)) {  // retire was cut between two calls: by hand, as is told
        const base::Error error = test::error_of([&] { forget(world, beta); });
        CHECK(error.kind() == Kind::refused);
        CHECK_THAT(error.hint(), Catch::Contains("define it again") && Catch::Contains("vda=/images/web1-vda.umbra-"));
        return;
      }
      const auto recovered = forget(world, beta);
      if (recovered.at(0).outcome.host == beta) {  // alpha is its shadow already
        CHECK_THAT(recovered.at(0).did, Catch::Contains("umbra switchover web1 --from-point"));
        world.new_run();
        Run run(world);
        from_point(run.ports, request_for(beta, alpha));
        check_runs_alone(world, alpha);
        ++reversed;
        return;
      }
      CHECK(forget(world, beta).empty());
      const auto& notes = recovered.at(0).outcome.notes;
      const bool told = std::ranges::any_of(
          notes, [](const std::string& note) { return note.find("what it wrote there is lost") != std::string::npos; });
      if (ran_there) CHECK(told);
      if (ran_there) ++lost;
      std::optional<model::Domain>& left = world.hosts.at(alpha).domains.at(web1).live;
      if (left && left->state == model::DomainState::paused) left->state = model::DomainState::running;  // as is told
      CHECK(
          std::ranges::none_of(world.leftovers(), [](const std::string& file) { return file.starts_with("alpha:"); }));
      CHECK(world.hosts.at(alpha).domains.at(web1).defined->autostart);
      check_runs_alone(world, alpha);
    });
  }
  CHECK(lost > 10);
  CHECK(reversed > 3);
}

TEST_CASE("a host is not forgotten that answers, nor without proof that it runs nothing") {
  fakes::SimWorld world = make_world();
  die_after(world, "journal prepare done");
  world.new_run();
  const auto refused = [&](const std::function<void(Run&, ForgetRequest&)>& arrange) {
    const std::string before = picture(world);
    Run run(world);
    ForgetRequest request{web1, beta};
    arrange(run, request);
    const Kind kind = test::kind_of([&] { recover_without(run.ports, request); });
    CHECK(picture(world) == before);
    CHECK(any_open(world));
    return kind;
  };
  CHECK(refused([](Run&, ForgetRequest&) {}) == Kind::refused);
  world.hosts.at(beta).reachable = false;
  CHECK(refused([](Run& run, ForgetRequest&) { run.ports.fence = nullptr; }) == Kind::refused);
  CHECK(refused([](Run& run, ForgetRequest&) { run.fence.answer = {false, "no route"}; }) == Kind::refused);
  CHECK(refused([](Run&, ForgetRequest& request) { request.host = model::HostName("gamma"); }) == Kind::invalid);
  Run run(world);
  run.ports.fence = nullptr;
  CHECK(recover_without(run.ports, {web1, beta, true}).size() == 1);
  check_runs_alone(world, alpha);
}

TEST_CASE("the way out is told where a recovery fails for a host that does not answer") {
  fakes::SimWorld world = make_world();
  const auto [call, host] =
      GENERATE(table<std::string, model::HostName>({{"journal redirect done", alpha}, {"journal prepare done", beta}}));
  die_after(world, call);
  lose(world, host);
  Run run(world);
  const base::Error error = test::error_of([&] { recover(run.ports); });
  CHECK(error.kind() == Kind::interrupted);
  CHECK_THAT(error.hint(), Catch::Contains("umbra switchover --recover web1 --forget HOST"));
}
