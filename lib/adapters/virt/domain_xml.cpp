// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/domain_xml.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <sstream>

#include <fmt/format.h>

#include "adapters/virt/xml.hpp"
#include "base/error.hpp"

namespace umbra::virt {

namespace {

std::string normal(const std::string& path) {
  return std::filesystem::path(path).lexically_normal().string();
}

/// Libvirt writes memory in KiB, but reads and keeps other units of its own files.
model::ByteCount memory_of(const pugi::xml_node& node) {
  const std::string unit = node.attribute("unit").as_string("KiB");
  const std::uint64_t value = node.text().as_ullong();
  if (unit == "b" || unit == "bytes") return {value};
  if (unit == "MiB" || unit == "M") return {value << 20};
  if (unit == "GiB" || unit == "G") return {value << 30};
  return {value << 10};
}

std::vector<std::string> chain_below(const pugi::xml_node& disk) {
  std::vector<std::string> chain;
  for (pugi::xml_node below = disk.child("backingStore"); below.child("source"); below = below.child("backingStore")) {
    chain.push_back(normal(source_path(below.child("source"))));
  }
  return chain;
}

model::Disk disk_of(const pugi::xml_node& node) {
  model::Disk disk;
  disk.name = model::DiskName(node.child("target").attribute("dev").value());
  if (node.attribute("type").as_string() == std::string_view("file"))
    disk.path = normal(source_path(node.child("source")));
  disk.format = node.child("driver").attribute("type").as_string("raw");
  disk.chain = chain_below(node);
  return disk;
}

/// Where a missing file only empties the drive, libvirt itself leaves it out.
bool is_needed_medium(const pugi::xml_node& disk) {
  const std::string_view policy = disk.child("source").attribute("startupPolicy").as_string("mandatory");
  return !is_writable_disk(disk) && disk.attribute("type").as_string() == std::string_view("file") &&
         disk.child("source").attribute("file") && policy == "mandatory";
}

model::RoleTag tag_of(const pugi::xml_node& domain) {
  model::RoleTag tag;
  const pugi::xml_node node = find_tag(domain);
  if (!node) return tag;
  const auto role = model::role_from_string(node.attribute("role").value());
  if (!role) {
    throw base::Error(base::Kind::invalid, fmt::format("{}: unknown role '{}' in its metadata",
                                                       domain.child_value("name"), node.attribute("role").value()));
  }
  tag.role = *role;
  tag.peer = model::HostName(node.attribute("peer").value());
  tag.epoch = model::Epoch{node.attribute("epoch").as_ullong()};
  return tag;
}

unsigned number_of(const pugi::xml_node& node, const char* attribute) {
  return node.attribute(attribute).as_uint();  // "0x1f" is read as hexadecimal
}

std::string node_device_of(const pugi::xml_node& hostdev) {
  const pugi::xml_node address = hostdev.child("source").child("address");
  return fmt::format("pci_{:04x}_{:02x}_{:02x}_{:x}", number_of(address, "domain"), number_of(address, "bus"),
                     number_of(address, "slot"), number_of(address, "function"));
}

std::string socket_uri(const char* socket, const std::string& export_name) {
  std::string escaped;
  for (const char c : std::string_view(socket)) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || std::strchr("/-_.~", c) != nullptr) {
      escaped += c;
    } else {
      escaped += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return fmt::format("nbd+unix:///{}?socket={}", export_name, escaped);
}

}  // namespace

pugi::xml_document load_xml(const std::string& text, const char* root) {
  pugi::xml_document document;
  const pugi::xml_parse_result result = document.load_buffer(text.data(), text.size());
  if (!result || std::strcmp(document.document_element().name(), root) != 0) {
    throw base::Error(base::Kind::invalid,
                      fmt::format("expected the XML of a <{}>, got {}", root,
                                  result ? document.document_element().name() : result.description()));
  }
  return document;
}

std::string to_text(const pugi::xml_node& node) {
  std::ostringstream out;
  node.print(out, "  ");
  return out.str();
}

bool is_writable_disk(const pugi::xml_node& disk) {
  const std::string device = disk.attribute("device").as_string("disk");
  return (device == "disk" || device == "lun") && !disk.child("readonly");
}

std::string source_path(const pugi::xml_node& source) {
  for (const char* name : {"file", "dev", "name", "volume"}) {
    if (const auto attribute = source.attribute(name)) return attribute.value();
  }
  return {};
}

pugi::xml_attribute network_of(const pugi::xml_node& interface) {
  const pugi::xml_node source = interface.child("source");
  const std::string type = interface.attribute("type").value();
  if (type == "network") return source.attribute("network");
  return source.attribute(type == "direct" ? "dev" : "bridge");
}

pugi::xml_node find_tag(const pugi::xml_node& domain) {
  for (const pugi::xml_node node : domain.child("metadata").children()) {
    const std::string name = node.name();
    const std::size_t colon = name.find(':');
    const std::string declared = colon == std::string::npos ? "xmlns" : "xmlns:" + name.substr(0, colon);
    if (node.attribute(declared.c_str()).value() == tag_namespace) return node;
  }
  return {};
}

ParsedDomain parse_domain(const std::string& xml) {
  const pugi::xml_document document = load_xml(xml, "domain");
  const pugi::xml_node root = document.document_element();
  ParsedDomain parsed;
  model::Domain& domain = parsed.domain;
  domain.name = model::VmName(root.child_value("name"));
  domain.uuid = model::Uuid(root.child_value("uuid"));
  domain.memory = memory_of(root.child("memory"));
  domain.vcpus = root.child("vcpu").text().as_uint(1);
  domain.tag = tag_of(root);
  for (const pugi::xml_node node : root.child("devices").children()) {
    const std::string kind = node.name();
    if (kind == "disk") {
      if (is_writable_disk(node)) domain.disks.push_back(disk_of(node));
      if (is_needed_medium(node))
        domain.media.push_back({model::DiskName(node.child("target").attribute("dev").value()),
                                normal(source_path(node.child("source")))});
      if (node.child("mirror")) domain.block_job = model::DiskName(node.child("target").attribute("dev").value());
    } else if (kind == "interface") {
      domain.nics.push_back({node.child("mac").attribute("address").value(), network_of(node).value()});
    } else if (kind == "hostdev" && std::strcmp(node.attribute("type").value(), "pci") == 0) {
      parsed.pci_devices.push_back(node_device_of(node));
    } else if (kind == "channel") {
      const pugi::xml_node target = node.child("target");
      domain.agent = domain.agent || (std::strcmp(target.attribute("name").value(), "org.qemu.guest_agent.0") == 0 &&
                                      std::strcmp(target.attribute("state").value(), "connected") == 0);
    }
  }
  return parsed;
}

std::map<model::DiskName, std::vector<ChainFile>> parse_chains(const std::string& live_xml) {
  const pugi::xml_document document = load_xml(live_xml, "domain");
  std::map<model::DiskName, std::vector<ChainFile>> chains;
  for (const pugi::xml_node disk : document.document_element().child("devices").children("disk")) {
    if (!is_writable_disk(disk)) continue;
    const std::string name = disk.child("target").attribute("dev").value();
    std::vector<ChainFile>& chain = chains[model::DiskName(name)];
    chain.push_back({normal(source_path(disk.child("source"))), name});
    for (pugi::xml_node below = disk.child("backingStore"); below.child("source");
         below = below.child("backingStore")) {
      const pugi::xml_node source = below.child("source");
      const char* index =
          source.attribute("index") ? source.attribute("index").value() : below.attribute("index").value();
      chain.push_back({normal(source_path(source)), fmt::format("{}[{}]", name, index)});
    }
  }
  return chains;
}

std::optional<Mirror> mirror_of(const std::string& live_xml, const model::DiskName& disk) {
  const pugi::xml_document document = load_xml(live_xml, "domain");
  for (const pugi::xml_node node : document.document_element().child("devices").children("disk")) {
    if (node.child("target").attribute("dev").value() != disk.get()) continue;
    const pugi::xml_node mirror = node.child("mirror");
    if (!mirror) return std::nullopt;
    return Mirror{mirror.attribute("job").value(), normal(source_path(mirror.child("source"))),
                  std::strcmp(mirror.attribute("ready").value(), "yes") == 0};
  }
  return std::nullopt;
}

CpuNeed parse_cpu_need(const std::string& domain_xml) {
  const pugi::xml_document document = load_xml(domain_xml, "domain");
  const pugi::xml_node root = document.document_element();
  const pugi::xml_node type = root.child("os").child("type");
  CpuNeed need;
  need.virt_type = root.attribute("type").value();
  need.emulator = root.child("devices").child_value("emulator");
  need.arch = type.attribute("arch").value();
  need.machine = type.attribute("machine").value();
  if (const pugi::xml_node cpu = root.child("cpu")) need.mode = cpu.attribute("mode").as_string("custom");
  return need;
}

std::string cpu_element(const std::string& xml) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size()))
    throw base::Error(base::Kind::invalid, "expected XML with a <cpu>");
  const pugi::xml_node root = document.document_element();
  const pugi::xml_node cpu = root.child("cpu") ? root.child("cpu") : root.child("host").child("cpu");
  return cpu ? to_text(cpu) : std::string();
}

PciDevice parse_pci_device(const std::string& xml) {
  const pugi::xml_document document = load_xml(xml, "device");
  const pugi::xml_node device = document.document_element();
  const pugi::xml_node pci = device.find_child_by_attribute("capability", "type", "pci");
  if (!pci) throw base::Error(base::Kind::invalid, fmt::format("{} is no PCI device", device.child_value("name")));
  PciDevice result;
  result.name = device.child_value("name");
  result.model =
      fmt::format("{:04x}:{:04x}", number_of(pci.child("vendor"), "id"), number_of(pci.child("product"), "id"));
  result.display = std::string_view(pci.child_value("class")).starts_with("0x03");
  return result;
}

std::string backup_export_uri(const std::string& backup_xml, const std::string& export_name) {
  const pugi::xml_document document = load_xml(backup_xml, "domainbackup");
  const pugi::xml_node server = document.document_element().child("server");
  if (std::strcmp(server.attribute("transport").value(), "unix") == 0) {
    return socket_uri(server.attribute("socket").value(), export_name);
  }
  const std::string address = server.attribute("name").value();
  const bool v6 = address.find(':') != std::string::npos;
  return fmt::format("nbd://{}{}{}:{}/{}", v6 ? "[" : "", address, v6 ? "]" : "", server.attribute("port").value(),
                     export_name);
}

bool is_bridge(const std::string& interface_xml) {
  const pugi::xml_document document = load_xml(interface_xml, "interface");
  return std::strcmp(document.document_element().attribute("type").value(), "bridge") == 0;
}

std::string host_cpu_model(const std::string& capabilities_xml) {
  const pugi::xml_document document = load_xml(capabilities_xml, "capabilities");
  return document.document_element().child("host").child("cpu").child_value("model");
}

std::string host_uuid(const std::string& capabilities_xml) {
  const pugi::xml_document document = load_xml(capabilities_xml, "capabilities");
  return document.document_element().child("host").child_value("uuid");
}

}  // namespace umbra::virt
