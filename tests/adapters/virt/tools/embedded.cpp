// SPDX-License-Identifier: Apache-2.0
#include "embedded.hpp"

#include <libvirt/libvirt.h>

#include <unistd.h>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <iostream>

#include <fmt/format.h>

#include "base/process.hpp"

namespace umbra::virt::test {

namespace fs = std::filesystem;

namespace {

constexpr int skipped = 77;  // as ctest is told
constexpr base::Millis command_deadline{60'000};

bool runs(const base::Argv& argv) {
  try {
    return base::run(argv, {}, command_deadline).status == 0;
  } catch (const base::Error&) {
    return false;
  }
}

struct Folder {
  fs::path path;
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "umbra-virt-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

std::string domain_xml(const std::string& name, const std::string& disk, const std::string& bus) {
  return fmt::format(R"(<domain type='qemu'>
  <name>{}</name>
  <uuid>00000000-0000-4000-8000-{:012x}</uuid>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model></cpu>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='{}'/><target dev='vda' bus='{}'/>
    </disk>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>)",
                     name, std::hash<std::string>{}(name)&0xffffffffffff, disk, bus);
}

}  // namespace

void need_tools() {
  for (const base::Argv& tool :
       {base::Argv{"qemu-system-x86_64", "--version"}, {"qemu-img", "--version"}, {"nbdinfo", "--version"}}) {
    if (runs(tool)) continue;
    std::cerr << "SKIPPED: " << tool.front() << " is missing (apt-get install qemu-system-x86 qemu-utils libnbd-bin)\n";
    std::_Exit(skipped);
  }
  if (geteuid() != 0) {
    std::cerr << "SKIPPED: an embedded libvirt that runs guests needs root\n";
    std::_Exit(skipped);
  }
}

fs::path embedded_folder() {
  static const Folder folder;
  return folder.path;
}

model::HostConfig embedded_host() {
  static const bool configured = [] {
    setenv("LIBVIRT_DEBUG", "4", 0);  // errors alone: it would log in among the results
    fs::create_directories(embedded_folder() / "etc");
    base::write_file_atomic(embedded_folder() / "etc/qemu.conf",
                            "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\nnamespaces = [ ]\n"
                            "cgroup_controllers = [ ]\nstdio_handler = \"file\"\nremember_owner = 0\n");
    return true;
  }();
  REQUIRE(configured);
  model::HostConfig host;
  host.name = model::HostName("here");
  host.uri = "qemu:///embed?root=" + embedded_folder().string();
  return host;
}

Guest::Guest(const std::string& name, bool with_raw, const std::string& bus)
    : m_folder(embedded_folder() / name), m_name(name), m_host(connect(embedded_host())) {
  fs::create_directories(m_folder);
  REQUIRE(runs({"qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=1.1", file("vda.qcow2"), "64M"}));
  model::Domain primary;
  primary.name = m_name;
  primary.xml = domain_xml(name, file("vda.qcow2"), bus);
  primary.uuid = model::Uuid(primary.xml.substr(primary.xml.find("<uuid>") + 6, 36));
  if (with_raw) {
    REQUIRE(runs({"qemu-img", "create", "-q", "-f", "raw", file("vdb.raw"), "32M"}));
    define_with_raw(primary.xml, file("vdb.raw"));
    return;
  }
  m_host->define_shadow(primary, {{{model::DiskName("vda"), file("vda.qcow2")}}, {}, {}});
}

void Guest::define_with_raw(std::string xml, const std::string& path) {
  const std::string disk = fmt::format(
      "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/><target dev='vdb' "
      "bus='virtio'/></disk>",
      path);
  xml.insert(xml.find("<controller"), disk);
  const std::unique_ptr<_virConnect, decltype(&virConnectClose)> connection(virConnectOpen(embedded_host().uri.c_str()),
                                                                            &virConnectClose);
  const std::unique_ptr<_virDomain, decltype(&virDomainFree)> defined(virDomainDefineXML(connection.get(), xml.c_str()),
                                                                      &virDomainFree);
  REQUIRE(defined);
}

Guest::~Guest() {
  try {
    m_host->destroy(m_name);
    m_host->undefine(m_name);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
  }
}

model::Domain Guest::domain() {
  const auto found = m_host->find(m_name);
  REQUIRE(found);
  return *found;
}

}  // namespace umbra::virt::test
