// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "base/process.hpp"
#include "embedded.hpp"
#include "fakes/thrown.hpp"
#include "ports/delta.hpp"

using namespace umbra;
using virt::test::Guest;

namespace {

const model::DiskName vda("vda");

std::string nbdinfo(const base::Argv& options, const std::string& uri) {
  base::Argv argv{"nbdinfo"};
  argv.insert(argv.end(), options.begin(), options.end());
  argv.push_back(uri);
  const base::Finished finished = base::run(argv, {}, base::Millis{30'000});
  REQUIRE(finished.status == 0);
  return finished.out;
}

ports::BackupRequest backup_of_vda(const Guest& guest) {
  ports::BackupRequest request;
  request.disks = {vda};
  request.scratch_dir = guest.file("");
  return request;
}

using test::kind_of;

}  // namespace

TEST_CASE("a definition is off with its size and tag, and a VM that is not there is absent") {
  virt::test::need_tools();
  Guest guest("defined");
  const model::RoleTag tag{model::Role::shadow, model::HostName("beta"), {9}};
  guest.host().set_tag(guest.name(), tag);
  const model::Domain domain = guest.domain();
  CHECK(domain.state == model::DomainState::off);
  CHECK(domain.tag == tag);
  REQUIRE(domain.disks.size() == 1);
  CHECK(domain.disks[0].size == model::ByteCount{64u << 20});
  CHECK(domain.disks[0].chain.empty());
  CHECK_FALSE(guest.host().find(model::VmName("nobody")));
  CHECK(kind_of([&] { guest.host().start(model::VmName("nobody")); }) == base::Kind::not_found);
  guest.host().undefine(model::VmName("nobody"));
  guest.host().set_tag(guest.name(), {});
  CHECK(guest.domain().tag == model::RoleTag{});
}

TEST_CASE("a running VM is neither replaced nor undefined, and a stopped one stops again without harm") {
  virt::test::need_tools();
  Guest guest("running");
  guest.host().start(guest.name());
  const model::Domain domain = guest.domain();
  CHECK(domain.state == model::DomainState::running);
  CHECK_FALSE(domain.agent);
  CHECK_FALSE(domain.job);
  CHECK_FALSE(guest.host().guest_activity(guest.name()));
  const ports::ShadowDefinition definition{{{vda, guest.file("vda.qcow2")}}, {}, {}};
  CHECK(kind_of([&] { guest.host().define_shadow(domain, definition); }) == base::Kind::refused);
  CHECK(kind_of([&] { guest.host().undefine(guest.name()); }) == base::Kind::refused);
  guest.host().destroy(guest.name());
  guest.host().destroy(guest.name());
  CHECK(guest.domain().state == model::DomainState::off);
}

TEST_CASE("another VM of the same name is not replaced by a shadow") {
  virt::test::need_tools();
  Guest guest("namesake");
  model::Domain other = guest.domain();
  other.uuid = model::Uuid("11111111-1111-4111-8111-111111111111");
  const ports::ShadowDefinition definition{{{vda, guest.file("vda.qcow2")}}, {}, {}};
  CHECK(kind_of([&] { guest.host().define_shadow(other, definition); }) == base::Kind::refused);
}

TEST_CASE("a host tells what it is, and says yes to a CPU it has and no to one it has not") {
  virt::test::need_tools();
  Guest guest("facts");
  const model::HostFacts facts = guest.host().facts();
  CHECK(facts.cpus >= 1);
  CHECK(facts.memory_free.value > 0);
  CHECK(facts.memory_free < facts.memory);
  CHECK(facts.cpu_used.value <= 1);
  CHECK_FALSE(facts.libvirt_version.empty());

  model::Domain domain = guest.domain();
  CHECK(guest.host().can_run_cpu_of(domain).usable);
  domain.cpu_xml = "<cpu mode='custom' match='exact'><model fallback='forbid'>Skylake-Server</model></cpu>";
  const model::CpuVerdict no = guest.host().can_run_cpu_of(domain);
  CHECK_FALSE(no.usable);
  CHECK_FALSE(no.reason.empty());
}

TEST_CASE("counters are told of the host always and of a VM while it runs") {
  virt::test::need_tools();
  Guest guest("counted");
  const auto source = virt::metric_source(virt::test::embedded_host());
  CHECK(source->counters().size() == 1);
  guest.host().start(guest.name());
  const auto counters = source->counters();
  REQUIRE(counters.size() == 2);
  CHECK(counters[0].vm == guest.name());
  CHECK(counters[0].cpu_s.has_value());
  CHECK(counters[0].disk_bytes.has_value());
  CHECK_FALSE(counters[0].memory_used.has_value());  // no balloon, so nothing is claimed
  CHECK(counters[1].uuid.get().empty());
  CHECK(counters[1].memory_used < counters[1].memory_total);
}

TEST_CASE("a backup job exports the disk by a socket, then by its bitmap, and leaves no scratch file") {
  virt::test::need_tools();
  Guest guest("backup");
  guest.host().start(guest.name());
  ports::BackupRequest request = backup_of_vda(guest);
  request.fresh = model::CheckpointName("umbra-1");
  {
    const auto job = guest.host().begin_backup(guest.name(), request);
    REQUIRE(job->exports().size() == 1);
    CHECK(job->exports()[0].dirty_context.empty());
    CHECK(nbdinfo({"--size"}, job->exports()[0].uri) == "67108864\n");
    CHECK(guest.domain().job);
    CHECK(kind_of([&] { guest.host().begin_backup(guest.name(), backup_of_vda(guest)); }) == base::Kind::busy);
    job->end();
    CHECK_FALSE(guest.domain().job);
  }
  request.since = request.fresh;
  request.fresh = model::CheckpointName("umbra-2");
  request.listen = "127.0.0.1";
  {
    const auto job = guest.host().begin_backup(guest.name(), request);
    const ports::NbdExport& exported = job->exports().at(0);
    CHECK(exported.uri.starts_with("nbd://127.0.0.1:"));
    CHECK(nbdinfo({"--map=" + exported.dirty_context}, exported.uri).find("clean") != std::string::npos);
  }  // ended by the destructor
  CHECK_FALSE(guest.domain().job);
  for (const auto& entry : std::filesystem::directory_iterator(guest.file(""))) {
    CHECK(entry.path().filename() == "vda.qcow2");
  }
  using Names = std::vector<model::CheckpointName>;
  CHECK(guest.host().checkpoints(guest.name()) ==
        Names{model::CheckpointName("umbra-1"), model::CheckpointName("umbra-2")});
  CHECK(guest.host().written_since(guest.name(), model::CheckpointName("umbra-1")) == model::ByteCount{0});
  CHECK_FALSE(guest.host().written_since(guest.name(), model::CheckpointName("umbra-9")));
  guest.host().delete_checkpoint(guest.name(), model::CheckpointName("umbra-1"));
  CHECK(guest.host().checkpoints(guest.name()) == Names{model::CheckpointName("umbra-2")});
}

TEST_CASE("a raw disk is in the job with a tracked one, whole, and in no checkpoint") {
  virt::test::need_tools();
  Guest guest("mixed", true);
  const model::DiskName vdb("vdb");
  {
    // Bytes that the job must show, though libvirt can't track them.
    std::ofstream raw(guest.file("vdb.raw"), std::ios::in | std::ios::out | std::ios::binary);
    raw << "as it was";
  }
  guest.host().start(guest.name());
  ports::BackupRequest request = backup_of_vda(guest);
  request.disks.push_back(vdb);
  request.untracked = {vdb};
  request.fresh = model::CheckpointName("umbra-1");
  guest.host().begin_backup(guest.name(), request)->end();
  CHECK(guest.host().checkpoints(guest.name()).size() == 1);
  request.since = request.fresh;
  request.fresh = model::CheckpointName("umbra-2");
  {
    const auto job = guest.host().begin_backup(guest.name(), request);
    REQUIRE(job->exports().size() == 2);
    CHECK(job->exports()[0].dirty_context == "qemu:dirty-bitmap:umbra-vda");
    CHECK(job->exports()[1].dirty_context.empty());
    CHECK(nbdinfo({"--size"}, job->exports()[1].uri) == "33554432\n");
    const base::Finished copy = base::run({"nbdcopy", job->exports()[1].uri, "-"}, {}, base::Millis{30'000});
    CHECK(copy.out.starts_with("as it was"));
  }
  // Where no disk can be tracked, no checkpoint is made at all.
  request.disks = {vdb};
  request.since.reset();
  request.fresh.reset();
  {
    const auto job = guest.host().begin_backup(guest.name(), request);
    CHECK(nbdinfo({"--size"}, job->exports().at(0).uri) == "33554432\n");
  }
  CHECK(guest.host().checkpoints(guest.name()).size() == 2);
  // A bitmap that is asked for of it all the same is told as missing: the disk must then be read whole.
  request.disks = {vda, vdb};
  request.untracked.clear();
  request.since = model::CheckpointName("umbra-2");
  const base::Kind kind = kind_of([&] { guest.host().begin_backup(guest.name(), request); });
  CHECK(ports::bitmap_unusable(base::Error(kind, "")));
}

TEST_CASE("a backup since a checkpoint that is gone says that the disk must be read whole") {
  virt::test::need_tools();
  Guest guest("gone");
  guest.host().start(guest.name());
  ports::BackupRequest request = backup_of_vda(guest);
  request.since = model::CheckpointName("umbra-7");
  CHECK(kind_of([&] { guest.host().begin_backup(guest.name(), request); }) == base::Kind::corrupt);
  CHECK_FALSE(guest.domain().job);
}

TEST_CASE("layers are frozen one on another and folded back into the first, with its checkpoint") {
  virt::test::need_tools();
  Guest guest("layers");
  guest.host().start(guest.name());
  ports::BackupRequest request = backup_of_vda(guest);
  request.fresh = model::CheckpointName("umbra-1");
  guest.host().begin_backup(guest.name(), request)->end();

  const ports::FreezeResult first = guest.host().freeze(guest.name(), {guest.overlay("e1.qcow2"), std::nullopt});
  CHECK_FALSE(first.quiesced);
  const ports::FreezeResult second =
      guest.host().freeze(guest.name(), {guest.overlay("e2.qcow2"), guest.file("memory")});
  CHECK(second.paused_ms > 0);
  CHECK(second.taken_at >= first.taken_at);
  CHECK(std::filesystem::file_size(guest.file("memory")) > 0);
  CHECK(guest.domain().disks.at(0).path == guest.file("e2.qcow2"));
  CHECK(guest.domain().disks.at(0).chain == std::vector<std::string>{guest.file("e1.qcow2"), guest.file("vda.qcow2")});
  CHECK_FALSE(guest.domain().snapshots);

  CHECK(kind_of([&] { guest.host().fold(guest.name(), guest.overlay("other.qcow2")); }) == base::Kind::not_found);
  guest.host().fold(guest.name(), guest.overlay("../layers/vda.qcow2"));
  CHECK(guest.domain().disks.at(0).path == guest.file("vda.qcow2"));
  CHECK(guest.domain().disks.at(0).chain.empty());
  guest.host().fold(guest.name(), guest.overlay("vda.qcow2"));  // again: nothing to do
  CHECK(std::filesystem::exists(guest.file("e1.qcow2")));

  request.since = request.fresh;
  request.fresh.reset();
  guest.host().begin_backup(guest.name(), request)->end();
}

TEST_CASE("a freeze that cannot have its file changes nothing") {
  virt::test::need_tools();
  Guest guest("taken");
  CHECK(kind_of([&] {
          guest.host().freeze(guest.name(), {guest.overlay("e1.qcow2"), std::nullopt});
        }) == base::Kind::refused);
  guest.host().start(guest.name());
  guest.host().freeze(guest.name(), {guest.overlay("e1.qcow2"), std::nullopt});
  CHECK_THROWS_AS(guest.host().freeze(guest.name(), {guest.overlay("e1.qcow2"), std::nullopt}), base::Error);
  CHECK(guest.domain().disks.at(0).chain.size() == 1);
  CHECK(guest.domain().state == model::DomainState::running);
}

TEST_CASE("a guest goes on from its memory over other files, under the tag of the definition here") {
  virt::test::need_tools();
  Guest guest("resumed");
  guest.host().start(guest.name());
  guest.host().freeze(guest.name(), {guest.overlay("e1.qcow2"), guest.file("memory")});
  const ports::ResumeRequest request{guest.file("memory"), guest.overlay("e1.qcow2"), true};
  CHECK(kind_of([&] { guest.host().restore(guest.name(), request); }) == base::Kind::refused);
  guest.host().destroy(guest.name());
  const model::RoleTag tag{model::Role::shadow, model::HostName("beta"), {2}};
  guest.host().set_tag(guest.name(), tag);
  guest.host().restore(guest.name(), request);
  CHECK(guest.domain().state == model::DomainState::running);
  CHECK(guest.domain().tag == tag);
  CHECK(kind_of([&] { guest.host().restore(model::VmName("else"), request); }) == base::Kind::invalid);
}

TEST_CASE("a checkpoint of an earlier life is forgotten when the VM is defined as a shadow") {
  virt::test::need_tools();
  Guest guest("again");
  guest.host().start(guest.name());
  ports::BackupRequest request = backup_of_vda(guest);
  request.fresh = model::CheckpointName("umbra-1");
  guest.host().begin_backup(guest.name(), request)->end();
  guest.host().destroy(guest.name());
  guest.host().define_shadow(guest.domain(), {{{vda, guest.file("vda.qcow2")}}, {}, {}});
  CHECK(guest.host().checkpoints(guest.name()).empty());

  // Its bitmap is still in the file, and must not stand in the way of a new checkpoint of that name.
  guest.host().start(guest.name());
  guest.host().begin_backup(guest.name(), request)->end();
  CHECK(guest.host().checkpoints(guest.name()).size() == 1);
}

TEST_CASE("a host that does not answer is unreachable, with its address") {
  virt::test::need_tools();
  model::HostConfig nowhere;
  nowhere.name = model::HostName("nowhere");
  nowhere.uri = "qemu+tcp://127.0.0.1:1/system";
  try {
    virt::connect(nowhere);
    FAIL("connected");
  } catch (const base::Error& error) {
    CHECK(error.kind() == base::Kind::unreachable);
    CHECK_THAT(error.message(), Catch::Contains(nowhere.uri));
    CHECK_FALSE(error.hint().empty());
  }
}
