// SPDX-License-Identifier: Apache-2.0
// Folding beside what others, or a run that was cut off, have left under way.
#include <libvirt/libvirt.h>

#include <catch2/catch.hpp>

#include <chrono>
#include <future>

#include <fmt/format.h>

#include "fakes/thrown.hpp"
#include "raw.hpp"

using namespace umbra;
using virt::test::Guest;
using virt::test::Raw;

namespace {

const model::DiskName vda("vda");

/// A block node of the disk's size that keeps nothing.
std::string nowhere(const std::string& node) {
  return fmt::format(R"({{"driver":"null-co","size":67108864,"node-name":"{}"}})", node);
}

}  // namespace

TEST_CASE("a fold goes on with what one that was cut off had begun, or begins anew where that went into another file") {
  virt::test::need_tools();
  const std::string base = GENERATE("vda.qcow2", "e1.qcow2");
  Guest guest("cut-" + base);
  guest.host().start(guest.name());
  guest.host().freeze(guest.name(), {guest.overlay("e1.qcow2"), std::nullopt});
  guest.host().freeze(guest.name(), {guest.overlay("e2.qcow2"), std::nullopt});
  const Raw raw(guest.name());
  REQUIRE(virDomainBlockCommit(raw.domain(), "vda", guest.file(base).c_str(), nullptr, 0,
                               VIR_DOMAIN_BLOCK_COMMIT_ACTIVE) == 0);
  REQUIRE(guest.domain().block_job == vda);
  guest.host().fold(guest.name(), guest.overlay("vda.qcow2"));
  CHECK(guest.domain().disks.at(0).path == guest.file("vda.qcow2"));
  CHECK_FALSE(guest.domain().job);
}

TEST_CASE("a copy of somebody else's is not ended by a fold, and named") {
  virt::test::need_tools();
  Guest guest("copied");
  guest.host().start(guest.name());
  guest.host().freeze(guest.name(), {guest.overlay("e1.qcow2"), std::nullopt});
  const Raw raw(guest.name());
  const std::string to =
      fmt::format("<disk type='file'><driver type='qcow2'/><source file='{}'/></disk>", guest.file("copy.qcow2"));
  REQUIRE(virDomainBlockCopy(raw.domain(), "vda", to.c_str(), nullptr, 0, VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB) == 0);
  const base::Error error = test::error_of([&] { guest.host().fold(guest.name(), guest.overlay("vda.qcow2")); });
  CHECK(error.kind() == base::Kind::busy);
  CHECK_THAT(error.hint(), Catch::Contains("blockjob copied vda --abort"));
  CHECK(guest.domain().block_job == vda);
}

TEST_CASE("a mirror that a migration has left in QEMU is ended before layers are folded") {
  virt::test::need_tools();
  Guest guest("mirrored");
  guest.host().start(guest.name());
  guest.host().freeze(guest.name(), {guest.overlay("e1.qcow2"), std::nullopt});
  const Raw raw(guest.name());
  raw.monitor("blockdev-add", nowhere("migration-vda-storage"));
  raw.mirror("drive-virtio-disk0", guest.file("e1.qcow2"), "migration-vda-storage");
  REQUIRE_THAT(raw.monitor("query-block-jobs"), Catch::Contains("drive-virtio-disk0"));
  guest.host().fold(guest.name(), guest.overlay("vda.qcow2"));
  CHECK(guest.domain().disks.at(0).path == guest.file("vda.qcow2"));
  CHECK_THAT(raw.monitor("query-jobs"), !Catch::Contains("drive-virtio-disk0"));
  // The next migration gives its nodes the same names.
  CHECK_THAT(raw.monitor("query-named-block-nodes"), !Catch::Contains("migration-vda"));
}

TEST_CASE("a disk that QEMU still has a job of is waited for") {
  virt::test::need_tools();
  Guest guest("awaited");
  guest.host().start(guest.name());
  guest.host().freeze(guest.name(), {guest.overlay("e1.qcow2"), std::nullopt});
  const Raw raw(guest.name());
  raw.monitor("blockdev-add", nowhere("elsewhere"));
  raw.mirror("somebodys", guest.file("e1.qcow2"), "elsewhere");
  auto folded = std::async(std::launch::async, [&] { guest.host().fold(guest.name(), guest.overlay("vda.qcow2")); });
  CHECK(folded.wait_for(std::chrono::seconds(2)) == std::future_status::timeout);
  raw.monitor("block-job-cancel", R"({"device":"somebodys","force":true})");
  folded.get();
  CHECK(guest.domain().disks.at(0).path == guest.file("vda.qcow2"));
}
