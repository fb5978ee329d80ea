// SPDX-License-Identifier: Apache-2.0
#pragma once
// A libvirt that lives in this process over a folder of its own, and a guest without a system: its firmware idles.

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "adapters/virt/virt.hpp"

namespace umbra::virt::test {

/// Ends this test as skipped, with the cause on standard error, where QEMU, qemu-img or nbdinfo are missing.
void need_tools();

/// The process's one embedded libvirt: the driver allows no second folder. Removed when the process ends.
model::HostConfig embedded_host();
std::filesystem::path embedded_folder();

/// A guest defined for one test; its QEMU and its definition end with the test.
class Guest {
 public:
  /// With a second, raw disk vdb where asked for. The firmware takes the write cache from a disk on virtio, and leaves
  /// one on sata its own.
  explicit Guest(const std::string& name, bool with_raw = false, const std::string& bus = "virtio");
  ~Guest();
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  ports::Hypervisor& host() { return *m_host; }
  const model::VmName& name() const { return m_name; }
  model::Domain domain();
  /// A path in the guest's own folder.
  std::string file(const std::string& name) const { return (m_folder / name).string(); }
  std::map<model::DiskName, std::string> overlay(const std::string& name) const {
    return {{model::DiskName("vda"), file(name)}};
  }

 private:
  void define_with_raw(std::string xml, const std::string& path);
  std::filesystem::path m_folder;
  model::VmName m_name;
  std::unique_ptr<ports::Hypervisor> m_host;
};

}  // namespace umbra::virt::test
