// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "adapters/virt/agent.hpp"
#include "adapters/virt/domain_xml.hpp"
#include "adapters/virt/facts.hpp"
#include "adapters/virt/samples.hpp"
#include "base/error.hpp"

using namespace umbra;
using namespace umbra::virt;

namespace {

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a domain's XML is read with its writable disks, NICs, agent and devices") {
  const ParsedDomain parsed = parse_domain(samples::live);
  const model::Domain& domain = parsed.domain;
  CHECK(domain.name == model::VmName("web1"));
  CHECK(domain.uuid.get() == "6c46433b-a559-4661-b7cf-050811bfebd7");
  CHECK(domain.memory == model::ByteCount{256u << 20});
  CHECK(domain.vcpus == 3);
  CHECK(domain.agent);
  CHECK_FALSE(parsed.domain.block_job);
  REQUIRE(domain.disks.size() == 2);
  CHECK(domain.disks[0].path == "/images/umbra/s/top/vda.qcow2");
  CHECK(domain.disks[0].chain ==
        std::vector<std::string>{"/images/umbra/s/point-000002/vda.qcow2", "/images/web1-vda.qcow2"});
  CHECK(domain.disks[1].path.empty());  // a block device is no file
  CHECK(domain.disks[1].format == "raw");
  REQUIRE(domain.media.size() == 1);
  CHECK(domain.media[0].drive == model::DiskName("sda"));
  CHECK(domain.media[0].file == "/iso/install.iso");
  REQUIRE(domain.nics.size() == 2);
  CHECK(domain.nics[0].network == "br0");
  CHECK(domain.nics[1].network == "default");
  CHECK(parsed.pci_devices == std::vector<std::string>{"pci_0000_65_1f_1"});
}

TEST_CASE("Umbra's tag is found by its namespace, whatever the prefix") {
  const model::RoleTag expected{model::Role::primary, model::HostName("beta"), {41}};
  CHECK(parse_domain(samples::live).domain.tag == expected);
  const std::string other = replaced(samples::live, "https://umbra.dev/ns/domain/1", "https://umbra.dev/ns/domain/2");
  CHECK(parse_domain(other).domain.tag == model::RoleTag{});
}

TEST_CASE("an unknown role is an error, not a VM without a role") {
  const std::string odd = replaced(samples::live, "domain/1\" role=\"primary\"", "domain/1\" role=\"boss\"");
  CHECK_THROWS_AS(parse_domain(odd), base::Error);
}

TEST_CASE("a drive that may be empty needs no file") {
  const std::string optional = replaced(samples::live, "<source file='/iso/install.iso' index='1'/>",
                                        "<source file='/iso/install.iso' startupPolicy='optional' index='1'/>");
  CHECK(parse_domain(optional).domain.media.empty());
}

TEST_CASE("an agent counts only while it is connected") {
  CHECK_FALSE(parse_domain(replaced(samples::live, "state='connected'", "state='disconnected'")).domain.agent);
}

TEST_CASE("text that is no domain is invalid") {
  for (const char* text : {"", "<domain", "<network/>"}) {
    try {
      parse_domain(text);
      FAIL("accepted: " << text);
    } catch (const base::Error& error) {
      CHECK(error.kind() == base::Kind::invalid);
    }
  }
}

TEST_CASE("each file of a chain has the name that a block job takes") {
  const auto chains = parse_chains(samples::live);
  const auto& chain = chains.at(model::DiskName("vda"));
  REQUIRE(chain.size() == 3);
  CHECK(chain[0].target == "vda");
  CHECK(chain[0].path == "/images/umbra/s/top/vda.qcow2");
  CHECK(chain[1].target == "vda[4]");
  CHECK(chain[2].target == "vda[3]");
  CHECK(chain[2].path == "/images/web1-vda.qcow2");
}

TEST_CASE("a commit is ready when libvirt says so of that disk") {
  const std::string job = replaced(samples::live, "<target dev='vda'",
                                   "<mirror type='file' job='active-commit' ready='yes'><format type='qcow2'/>"
                                   "<source file='/images/./base.qcow2'/></mirror><target dev='vda'");
  const model::DiskName vda("vda");
  CHECK(parse_domain(job).domain.block_job == vda);
  const auto mirror = mirror_of(job, vda);
  REQUIRE(mirror);
  CHECK(mirror->job == "active-commit");
  CHECK(mirror->file == "/images/base.qcow2");
  CHECK(mirror->ready);
  CHECK_FALSE(mirror_of(job, model::DiskName("vdb")));
  CHECK_FALSE(mirror_of(replaced(job, "ready='yes'", "ready='abort'"), vda)->ready);
}

TEST_CASE("a backup's exports are addressed as libvirt tells them") {
  CHECK(backup_export_uri("<domainbackup><server transport='tcp' name='10.0.0.1' port='10900'/></domainbackup>",
                          "umbra-vda") == "nbd://10.0.0.1:10900/umbra-vda");
  CHECK(backup_export_uri("<domainbackup><server transport='tcp' name='fd00::1' port='10900'/></domainbackup>", "x") ==
        "nbd://[fd00::1]:10900/x");
  CHECK(backup_export_uri("<domainbackup><server transport='unix' socket='/var/tmp/a b&amp;c'/></domainbackup>", "x") ==
        "nbd+unix:///x?socket=/var/tmp/a%20b%26c");
}

TEST_CASE("a display device is known by its PCI class") {
  const std::string gpu = R"(<device><name>pci_0000_65_00_0</name><capability type='pci'><class>0x030200</class>
    <product id='0x20b5'>A100</product><vendor id='0x10de'>NVIDIA</vendor></capability></device>)";
  CHECK(parse_pci_device(gpu).display);
  CHECK(parse_pci_device(gpu).model == "10de:20b5");
  CHECK_FALSE(parse_pci_device(replaced(gpu, "0x030200", "0x020000")).display);
}

TEST_CASE("what a CPU comparison needs is read from the definition") {
  const CpuNeed need = parse_cpu_need(samples::live);
  CHECK(need.virt_type == "kvm");
  CHECK(need.mode == "custom");
  CHECK(need.machine == "pc-q35-7.2");
  CHECK(cpu_element(samples::live).find("EPYC") != std::string::npos);
  CHECK(cpu_element("<domain/>").empty());
}

TEST_CASE("a host's CPU share is what was busy between two looks") {
  CHECK(cpu_share({10, 90}, {13, 91}).value == Approx(0.75));
  CHECK(cpu_share({10, 90}, {10, 90}).value == 0);
}

TEST_CASE("the guest's own listing is read, and odd lines are passed over") {
  const model::GuestActivity activity =
      parse_activity("uptime 12.5\n1 67 3 init\n115 425 9 (odd) name\nnot a line\n7 8\n");
  CHECK(activity.uptime_s == 12.5);
  REQUIRE(activity.processes.size() == 2);
  CHECK(activity.processes[1].pid == 115);
  CHECK(activity.processes[1].started_ticks == 425);
  CHECK(activity.processes[1].name == "(odd) name");
  CHECK(activity.open_files == 12);
}

TEST_CASE("base64 is decoded, other text refused") {
  CHECK(decode_base64("") == "");
  CHECK(decode_base64("YQ==") == "a");
  CHECK(decode_base64("YWI=") == "ab");
  CHECK(decode_base64("YWJj+/8=") == "abc\xfb\xff");
  CHECK_THROWS_AS(decode_base64("a b"), base::Error);
}
