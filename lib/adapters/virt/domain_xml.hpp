// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads libvirt's domain XML into values. Pure.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/domain.hpp"

namespace umbra::virt {

/// The XML namespace of Umbra's tag in a domain's metadata, and the prefix that it is written with.
inline constexpr std::string_view tag_namespace = "https://umbra.dev/ns/domain/1";
inline constexpr std::string_view tag_prefix = "umbra";

/// What a domain's XML says of itself. State, sizes and jobs are not in it.
struct ParsedDomain {
  model::Domain domain;
  std::vector<std::string> pci_devices;  ///< passed through, named as node devices: "pci_0000_65_00_0"
};

/// Kind::invalid where `xml` is no domain.
ParsedDomain parse_domain(const std::string& xml);

/// How one disk of a running domain can be named in a block job: each file of its chain, top first.
struct ChainFile {
  std::string path;    ///< without "." and ".."
  std::string target;  ///< "vda" for the top, "vda[3]" below, as libvirt takes it
};
/// Per writable disk, from the live XML.
std::map<model::DiskName, std::vector<ChainFile>> parse_chains(const std::string& live_xml);

/// A disk's block job that brings another file level with it.
struct Mirror {
  std::string job;   ///< "active-commit", "copy"
  std::string file;  ///< the one that is brought level, without "." and ".."
  bool ready = false;
};
std::optional<Mirror> mirror_of(const std::string& live_xml, const model::DiskName& disk);

/// The guest's CPU element with what a comparison on another host needs beside it.
struct CpuNeed {
  std::string virt_type;  ///< "kvm", "qemu"
  std::string emulator;
  std::string arch;
  std::string machine;
  std::string mode;  ///< "custom", "host-model", "host-passthrough", "maximum"; empty: the emulator's own default
};
CpuNeed parse_cpu_need(const std::string& domain_xml);
/// The <cpu> element below `parents` of a domain's or capabilities' XML; empty where there is none.
std::string cpu_element(const std::string& xml);

/// A PCI node device.
struct PciDevice {
  std::string name;   ///< "pci_0000_65_00_0"
  std::string model;  ///< "10de:20b5"
  bool display = false;
};
/// Kind::invalid where `xml` is no PCI device.
PciDevice parse_pci_device(const std::string& xml);

/// Where a backup job's server listens: "nbd://10.0.0.1:10809/" or "nbd+unix:///?socket=…", of one export.
std::string backup_export_uri(const std::string& backup_xml, const std::string& export_name);

/// The root element's type attribute and name: of an interface or network.
bool is_bridge(const std::string& interface_xml);
std::string host_cpu_model(const std::string& capabilities_xml);
/// By which libvirt itself tells hosts apart in a migration; empty where it has none.
std::string host_uuid(const std::string& capabilities_xml);

}  // namespace umbra::virt
