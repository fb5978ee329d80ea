// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "fakes/thrown.hpp"
#include "scene.hpp"

using namespace umbra;
using namespace umbra::switchover;
using base::Kind;

namespace {

struct Case {
  std::string name;
  Kind kind;
  std::function<void(fakes::SimWorld&, Request&)> arrange;
};

model::Domain& live(fakes::SimWorld& world) {
  return *world.hosts.at(alpha).domains.at(web1).live;
}
model::Domain& stand_in(fakes::SimWorld& world) {
  return *world.hosts.at(beta).domains.at(web1).defined;
}

const std::vector<Case>& cases() {
  using World = fakes::SimWorld;
  static const std::vector<Case> all{
      {"both ends are one host", Kind::refused, [](World&, Request& r) { r.to = r.from; }},
      {"no such VM", Kind::not_found, [](World&, Request& r) { r.vm = model::VmName("nobody"); }},
      {"no such host", Kind::not_found, [](World&, Request& r) { r.to.host = model::HostName("gamma"); }},
      {"the target does not answer", Kind::unreachable, [](World& w, Request&) { w.hosts.at(beta).reachable = false; }},
      {"the VM is off", Kind::refused, [](World& w, Request&) { w.hosts.at(alpha).domains.at(web1).live.reset(); }},
      {"the VM is paused", Kind::refused, [](World& w, Request&) { live(w).state = model::DomainState::paused; }},
      {"libvirt knows snapshots", Kind::refused, [](World& w, Request&) { live(w).snapshots = true; }},
      {"a disk was plugged in live alone", Kind::refused,
       [](World& w, Request&) { live(w).live_only = {model::DiskName("vdb")}; }},
      {"a CD-ROM's image is not on the target", Kind::refused,
       [](World& w, Request&) {
         live(w).media = {{model::DiskName("sda"), "/iso/install.iso"}};
       }},
      {"it runs on what a sync left", Kind::busy,
       [](World& w, Request&) {
         w.guests.at(web1).idle = true;
         w.guests.at(web1).acknowledged.clear();
         live(w).disks[0].path = "/images/web1.umbra-sync.qcow2";
       }},
      {"its agent is connected and silent", Kind::refused,
       [](World& w, Request&) {
         live(w).agent = true;
         w.agent_hangs = true;
       }},
      {"a job is under way", Kind::busy, [](World& w, Request&) { live(w).job = true; }},
      {"a block job is under way", Kind::busy,
       [](World& w, Request&) {
         live(w).job = true;
         live(w).block_job = model::DiskName("vdb");
       }},
      {"a disk is raw", Kind::unsupported, [](World& w, Request&) { live(w).disks[1].format = "raw"; }},
      {"a disk is no file", Kind::unsupported,
       [](World& w, Request&) {
         w.guests.at(web1).idle = true;
         w.guests.at(web1).acknowledged.clear();
         live(w).disks[1].path.clear();
       }},
      {"it is leaving by a walk that this state does not know", Kind::refused,
       [](World& w, Request&) {
         live(w).tag = {model::Role::leaving, beta, {}};
       }},
      {"the shadow's host knows a newer epoch than the state", Kind::refused,
       [](World& w, Request&) { stand_in(w).tag.epoch = {7}; }},
      {"the newest point is of the future", Kind::refused,
       [](World& w, Request&) {
         w.hosts.at(beta).shadows.at(shadow_id).points.rbegin()->second.info.taken_at += std::chrono::hours(2);
       }},
      {"the newest point is damaged", Kind::refused,
       [](World& w, Request&) {
         w.hosts.at(beta).shadows.at(shadow_id).points.rbegin()->second.info.damaged = "vda differs";
       }},
      {"every point is damaged", Kind::refused,
       [](World& w, Request&) {
         for (auto& [number, point] : w.hosts.at(beta).shadows.at(shadow_id).points) point.info.damaged = "vda differs";
       }},
      {"it runs though it is tagged a shadow", Kind::refused,
       [](World& w, Request&) {
         live(w).tag = {model::Role::hibernated, beta, {}};
       }},
      {"its epoch is old", Kind::refused, [](World& w, Request&) { w.epochs[live(w).uuid] = {7}; }},
      {"it is paused on the target too", Kind::refused,
       [](World& w, Request&) {
         w.hosts.at(beta).domains.at(web1).live = stand_in(w);
         w.hosts.at(beta).domains.at(web1).live->state = model::DomainState::paused;
       }},
      {"another VM of that name is on the target", Kind::refused,
       [](World& w, Request&) { stand_in(w).uuid = model::Uuid("ffffffff-0000-4000-8000-000000000001"); }},
      {"the one on the target is no shadow", Kind::refused,
       [](World& w, Request&) { stand_in(w).tag.role = model::Role::none; }},
      {"the shadow is of a VM on another host", Kind::refused,
       [](World& w, Request&) { stand_in(w).tag.peer = model::HostName("gamma"); }},
      {"no shadow", Kind::refused, [](World& w, Request&) { w.registry.clear(); }},
      {"the shadow is no longer defined", Kind::refused,
       [](World& w, Request&) { w.hosts.at(beta).domains.erase(web1); }},
      {"the shadow is of another VM", Kind::refused,
       [](World& w, Request&) { w.registry.at(web1).vm_uuid = model::Uuid("ffffffff-0000-4000-8000-000000000001"); }},
      {"the shadow stands elsewhere", Kind::refused,
       [](World& w, Request&) { w.registry.at(web1).host = model::HostName("gamma"); }},
      {"the shadow has no point", Kind::refused, [](World& w, Request&) { w.hosts.at(beta).shadows.clear(); }},
      {"a disk was added since the point", Kind::refused,
       [](World& w, Request&) {
         w.guests.at(web1).idle = true;
         live(w).disks.push_back(live(w).disks.back());
         live(w).disks.back().name = model::DiskName("vdc");
       }},
      {"a disk was resized since the point", Kind::refused,
       [](World& w, Request&) { live(w).disks[1].size = {1ull << 30}; }},
      {"the target's disk is full", Kind::refused, [](World& w, Request&) { w.hosts.at(beta).free = {1000}; }},
      {"the old home's disk is full", Kind::refused, [](World& w, Request&) { w.hosts.at(alpha).free = {1000}; }},
      {"the target can't run the CPU", Kind::refused,
       [](World& w, Request&) {
         w.hosts.at(beta).cpu = {false, "it lacks avx512f"};
       }},
      {"the target lacks memory", Kind::refused,
       [](World& w, Request&) { w.hosts.at(beta).facts.memory_free = {1ull << 20}; }},
      {"the target lacks the network", Kind::refused,
       [](World& w, Request&) { w.hosts.at(beta).facts.networks = {"br7"}; }},
      {"another run holds the lease", Kind::busy, [](World& w, Request&) { w.leases.insert(web1); }},
      {"an earlier walk is open", Kind::interrupted,
       [](World& w, Request&) {
         ports::Walk walk;
         walk.id = 1;
         walk.vm = web1;
         walk.kind = "switchover";
         walk.state = "open";
         w.walks.push_back(walk);
       }},
  };
  return all;
}

}  // namespace

TEST_CASE("what stands in the way is refused before anything changes") {
  for (const Case& c : cases()) {
    DYNAMIC_SECTION(c.name) {
      fakes::SimWorld world = make_world();
      Request request = request_for(alpha, beta);
      c.arrange(world, request);
      const std::string before = picture(world);
      Run run(world);
      try {
        switch_over(run.ports, request);
        FAIL("it was not refused");
      } catch (const base::Error& e) {
        INFO(e.what());
        CHECK(e.kind() == c.kind);
        CHECK_FALSE(std::string(e.what()).empty());
        if (c.kind == Kind::refused || c.kind == Kind::interrupted) CHECK_FALSE(e.hint().empty());
      }
      CHECK(picture(world) == before);
      if (c.kind != Kind::busy) CHECK(test::kind_of([&] { plan(run.ports, request); }) == c.kind);
      CHECK(picture(world) == before);
    }
  }
}

TEST_CASE("an agent that hangs holds no walk that needs none, and no way back") {
  fakes::SimWorld world = make_world();
  live(world).agent = true;
  world.agent_hangs = true;
  Request request = request_for(alpha, beta);
  request.policy.quiesce = false;
  Run run(world);
  const model::Outcome outcome = switch_over(run.ports, request);
  CHECK(outcome.result == "switched");
  CHECK(std::ranges::any_of(outcome.notes, [](const auto& note) { return note.find("no guest agent") == 0; }));
  CHECK(roll_back(run.ports, request_for(beta, alpha)).result == "rolled_back");
}

TEST_CASE("networks are known by the target's own names") {
  fakes::SimWorld world = make_world();
  world.hosts.at(beta).facts.networks = {"lan"};
  Request request = request_for(alpha, beta);
  request.to.networks = {{"br0", "lan"}};
  request.from.networks = {{"lan", "br0"}};
  Run run(world);
  switch_over(run.ports, request);
  CHECK(world.hosts.at(beta).domains.at(web1).live->nics[0].network == "lan");
  CHECK(world.hosts.at(alpha).domains.at(web1).defined->nics[0].network == "br0");
}
