// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "switchover/start_rule.hpp"

using namespace umbra;
using model::DomainState;
using model::Role;
using switchover::Elsewhere;
using switchover::objection_to_start;

namespace {

const model::HostName beta("beta");

model::Domain vm(Role role, std::uint64_t epoch, DomainState state = DomainState::off) {
  model::Domain domain;
  domain.name = model::VmName("web1");
  domain.uuid = model::Uuid("5b1e0a5c-9d4e-4f5e-8a3b-0123456789ab");
  domain.tag = {role, beta, {epoch}};
  domain.state = state;
  domain.disks = {{model::DiskName("vda"), "/images/web1.qcow2", "qcow2", {}, {}, {}}};
  return domain;
}

std::string objection(const model::Domain& starting, const std::vector<Elsewhere>& others) {
  const auto error = objection_to_start(starting, others);
  if (error) CHECK(error->kind() == base::Kind::refused);
  if (error) CHECK_FALSE(error->hint().empty());
  return error ? error->message() : "";
}

}  // namespace

TEST_CASE("what Umbra has no part in may be started") {
  CHECK(objection(vm(Role::none, 0), {{beta, std::nullopt, "no route"}}).empty());
}

TEST_CASE("a stand-in, an old primary and one that was leaving are not started") {
  CHECK_THAT(objection(vm(Role::shadow, 3), {}), Catch::Contains("the shadow of the one on beta (epoch 3)"));
  CHECK_THAT(objection(vm(Role::hibernated, 3), {}), Catch::Contains("the hibernated primary of the one on beta"));
  CHECK_THAT(objection(vm(Role::leaving, 3), {}), Catch::Contains("was leaving for beta"));
}

TEST_CASE("a rehearsal on throwaway layers is let through") {
  model::Domain stand_in = vm(Role::shadow, 3);
  stand_in.disks[0].path = "/images/umbra/web1/top-rehearsal/vda.qcow2";
  CHECK(objection(stand_in, {}).empty());
}

TEST_CASE("a primary is started where nobody knows a newer one") {
  CHECK(objection(vm(Role::primary, 3), {{beta, vm(Role::shadow, 3), ""}}).empty());
  CHECK(objection(vm(Role::primary, 3), {{beta, vm(Role::hibernated, 3), ""}}).empty());
  CHECK(objection(vm(Role::primary, 3), {{beta, std::nullopt, ""}}).empty());
  CHECK_THAT(objection(vm(Role::primary, 3), {{beta, vm(Role::primary, 4), ""}}), Catch::Contains("old copy"));
  CHECK_THAT(objection(vm(Role::primary, 3), {{beta, vm(Role::primary, 4, DomainState::running), ""}}),
             Catch::Contains("has epoch 3 here, but beta knows 4"));
}

TEST_CASE("a primary is not started beside one that is up, but where it comes from there by a walk") {
  CHECK_THAT(objection(vm(Role::primary, 3), {{beta, vm(Role::shadow, 3, DomainState::running), ""}}),
             Catch::Contains("is running on beta"));
  CHECK(objection(vm(Role::primary, 4), {{beta, vm(Role::leaving, 3, DomainState::running), ""}}).empty());
  CHECK_FALSE(objection(vm(Role::primary, 3), {{beta, vm(Role::leaving, 3, DomainState::running), ""}}).empty());
  model::Domain rehearsed = vm(Role::shadow, 3, DomainState::running);
  rehearsed.disks[0].path = "/images/umbra/web1/top-rehearsal/vda.qcow2";
  CHECK(objection(vm(Role::primary, 3), {{beta, rehearsed, ""}}).empty());
}

TEST_CASE("a primary whose shadow's host gives no answer is not started; others may be silent") {
  CHECK_THAT(objection(vm(Role::primary, 3), {{beta, std::nullopt, "no route"}}), Catch::Contains("gives no answer"));
  const model::HostName gamma("gamma");
  CHECK(objection(vm(Role::primary, 3), {{beta, vm(Role::shadow, 3), ""}, {gamma, std::nullopt, "no route"}}).empty());
}

TEST_CASE("where nothing is left of its shadow, the VM may have gone on to any host that is silent") {
  const model::HostName gamma("gamma");
  CHECK_THAT(objection(vm(Role::primary, 3), {{beta, std::nullopt, ""}, {gamma, std::nullopt, "no route"}}),
             Catch::Contains("the shadow of web1 is no longer on beta, and gamma gives no answer (no route)"));
  CHECK_FALSE(objection(vm(Role::primary, 3), {{gamma, std::nullopt, "no route"}}).empty());
  model::Domain other = vm(Role::none, 0);
  other.uuid = model::Uuid("ffffffff-0000-4000-8000-000000000001");
  CHECK_FALSE(objection(vm(Role::primary, 3), {{beta, other, ""}, {gamma, std::nullopt, "no route"}}).empty());
  CHECK(objection(vm(Role::primary, 3), {{beta, std::nullopt, ""}, {gamma, std::nullopt, ""}}).empty());
  model::Domain activated = vm(Role::primary, 3);  // from a point: it has no shadow
  activated.tag.peer = {};
  CHECK(objection(activated, {{beta, std::nullopt, "no route"}, {gamma, std::nullopt, "no route"}}).empty());
}

TEST_CASE("another VM of the same name elsewhere is no objection") {
  model::Domain other = vm(Role::none, 0, DomainState::running);
  other.uuid = model::Uuid("ffffffff-0000-4000-8000-000000000001");
  CHECK(objection(vm(Role::primary, 3), {{beta, other, ""}}).empty());
}
