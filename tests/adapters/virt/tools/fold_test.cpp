// SPDX-License-Identifier: Apache-2.0
// Folding beside what others, or a run that was cut off, have left under way.
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>

#include <catch2/catch.hpp>

#include <chrono>
#include <cstdlib>
#include <future>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "embedded.hpp"
#include "fakes/thrown.hpp"

using namespace umbra;
using virt::test::Guest;

namespace {

const model::DiskName vda("vda");

/// The same libvirt, as others use it.
class Raw {
 public:
  explicit Raw(const model::VmName& name)
      : m_connection(virConnectOpen(virt::test::embedded_host().uri.c_str()), &virConnectClose),
        m_domain(virDomainLookupByName(m_connection.get(), name.get().c_str()), &virDomainFree) {
    REQUIRE(m_domain);
  }
  _virDomain* domain() const { return m_domain.get(); }
  std::string monitor(const std::string& command) const {
    char* answer = nullptr;
    REQUIRE(virDomainQemuMonitorCommand(domain(), command.c_str(), &answer, 0) == 0);
    std::string text = answer;
    free(answer);
    INFO(command << " gives " << text);
    REQUIRE(text.find("\"error\"") == std::string::npos);
    return text;
  }

 private:
  std::unique_ptr<_virConnect, decltype(&virConnectClose)> m_connection;
  std::unique_ptr<_virDomain, decltype(&virDomainFree)> m_domain;
};

/// How QEMU names the image in a file.
std::string node_of(const std::string& nodes, const std::string& path) {
  const auto answer = nlohmann::json::parse(nodes);
  for (const auto& node : answer.at("return"))
    if (node.at("drv") == "qcow2" && node.at("file") == path) return node.at("node-name");
  FAIL("QEMU has no node of " << path);
  return {};
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
  const std::string nodes = raw.monitor(R"({"execute":"query-named-block-nodes","arguments":{"flat":true}})");
  raw.monitor(
      R"({"execute":"blockdev-add","arguments":{"driver":"null-co","size":67108864,"node-name":"migration-vda-storage"}})");
  raw.monitor(fmt::format(R"({{"execute":"blockdev-mirror","arguments":{{"job-id":"drive-virtio-disk0","device":"{}",)"
                          R"("target":"migration-vda-storage","sync":"top","auto-dismiss":false}}}})",
                          node_of(nodes, guest.file("e1.qcow2"))));
  REQUIRE_THAT(raw.monitor(R"({"execute":"query-block-jobs"})"), Catch::Contains("drive-virtio-disk0"));
  guest.host().fold(guest.name(), guest.overlay("vda.qcow2"));
  CHECK(guest.domain().disks.at(0).path == guest.file("vda.qcow2"));
  CHECK(raw.monitor(R"({"execute":"query-jobs"})").find("drive-virtio-disk0") == std::string::npos);
  // The next migration gives its nodes the same names.
  CHECK(raw.monitor(R"({"execute":"query-named-block-nodes","arguments":{"flat":true}})").find("migration-vda") ==
        std::string::npos);
}

TEST_CASE("a disk that QEMU still has a job of is waited for") {
  virt::test::need_tools();
  Guest guest("awaited");
  guest.host().start(guest.name());
  guest.host().freeze(guest.name(), {guest.overlay("e1.qcow2"), std::nullopt});
  const Raw raw(guest.name());
  const std::string nodes = raw.monitor(R"({"execute":"query-named-block-nodes","arguments":{"flat":true}})");
  raw.monitor(R"({"execute":"blockdev-add","arguments":{"driver":"null-co","size":67108864,"node-name":"elsewhere"}})");
  raw.monitor(fmt::format(R"({{"execute":"blockdev-mirror","arguments":{{"job-id":"somebodys","device":"{}",)"
                          R"("target":"elsewhere","sync":"top"}}}})",
                          node_of(nodes, guest.file("e1.qcow2"))));
  auto folded = std::async(std::launch::async, [&] { guest.host().fold(guest.name(), guest.overlay("vda.qcow2")); });
  CHECK(folded.wait_for(std::chrono::seconds(2)) == std::future_status::timeout);
  raw.monitor(R"({"execute":"block-job-cancel","arguments":{"device":"somebodys","force":true}})");
  folded.get();
  CHECK(guest.domain().disks.at(0).path == guest.file("vda.qcow2"));
}
