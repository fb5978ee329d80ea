// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/xml_edit.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "adapters/virt/domain_xml.hpp"
#include "adapters/virt/xml.hpp"
#include "base/error.hpp"

namespace umbra::virt {

namespace {

using Paths = std::map<model::DiskName, std::string>;
using Names = std::map<std::string, std::string>;

pugi::xml_attribute ensure_attribute(pugi::xml_node node, const char* name) {
  const pugi::xml_attribute attribute = node.attribute(name);
  return attribute ? attribute : node.append_attribute(name);
}

/// Exchanges a disk's source for a qcow2 file, of whatever kind it was. Libvirt finds the chain below by itself.
void put_file(pugi::xml_node disk, const std::string& path) {
  while (disk.remove_child("backingStore")) {
  }
  ensure_attribute(disk, "type").set_value("file");
  pugi::xml_node source = disk.child("source");
  if (!source) source = disk.prepend_child("source");
  source.remove_attributes();
  source.remove_children();
  source.append_attribute("file").set_value(path.c_str());
  pugi::xml_node driver = disk.child("driver");
  if (!driver) {
    driver = disk.prepend_child("driver");
    driver.append_attribute("name").set_value("qemu");
  }
  ensure_attribute(driver, "type").set_value("qcow2");
}

void put_files(pugi::xml_node domain, const Paths& paths) {
  Paths left = paths;
  for (pugi::xml_node disk : domain.child("devices").children("disk")) {
    if (!is_writable_disk(disk)) continue;
    const model::DiskName name(disk.child("target").attribute("dev").value());
    const auto path = left.find(name);
    if (path == left.end()) {
      throw base::Error(base::Kind::invalid,
                        fmt::format("no file for disk {} of {}", name.get(), domain.child_value("name")));
    }
    put_file(disk, path->second);
    left.erase(path);
  }
  if (!left.empty()) {
    throw base::Error(base::Kind::invalid,
                      fmt::format("{} has no writable disk {}", domain.child_value("name"), left.begin()->first.get()));
  }
}

void map_networks(pugi::xml_node domain, const Names& networks) {
  for (pugi::xml_node interface : domain.child("devices").children("interface")) {
    pugi::xml_attribute network = network_of(interface);
    if (const auto mapped = networks.find(network.value()); mapped != networks.end()) {
      network.set_value(mapped->second.c_str());
    }
  }
}

void put_tag(pugi::xml_node domain, const model::RoleTag& tag) {
  pugi::xml_node metadata = domain.child("metadata");
  if (!metadata) metadata = domain.insert_child_after("metadata", domain.child("uuid"));
  metadata.remove_child(find_tag(domain));
  if (tag.role == model::Role::none) return;
  pugi::xml_node node = metadata.append_child(fmt::format("{0}:{0}", tag_prefix).c_str());
  node.append_attribute(fmt::format("xmlns:{}", tag_prefix).c_str()).set_value(std::string(tag_namespace).c_str());
  node.append_attribute("role").set_value(std::string(to_string(tag.role)).c_str());
  node.append_attribute("peer").set_value(tag.peer.get().c_str());
  node.append_attribute("epoch").set_value(static_cast<unsigned long long>(tag.epoch.value));
}

/// What libvirt generated for this host alone: running ids, confinement labels.
void drop_host_only(pugi::xml_node domain) {
  domain.remove_attribute("id");
  for (pugi::xml_node label = domain.child("seclabel"); label;) {
    const pugi::xml_node next = label.next_sibling("seclabel");
    if (std::strcmp(label.attribute("type").value(), "static") != 0) domain.remove_child(label);
    label = next;
  }
}

void empty_media(pugi::xml_node domain) {
  for (pugi::xml_node disk : domain.child("devices").children("disk")) {
    const std::string device = disk.attribute("device").as_string("disk");
    if (device == "cdrom" || device == "floppy") disk.remove_child("source");
  }
}

/// The networks of another definition of the same VM, by MAC address.
void take_networks(pugi::xml_node domain, const pugi::xml_node& from) {
  for (pugi::xml_node interface : domain.child("devices").children("interface")) {
    const char* mac = interface.child("mac").attribute("address").value();
    for (const pugi::xml_node other : from.child("devices").children("interface")) {
      if (std::strcmp(other.child("mac").attribute("address").value(), mac) != 0) continue;
      interface.attribute("type").set_value(other.attribute("type").value());
      interface.remove_child("source");
      if (const pugi::xml_node source = other.child("source")) interface.prepend_copy(source);
    }
  }
}

/// A tap device of the guest's own, in no bridge.
void join_to_nothing(pugi::xml_node domain) {
  for (pugi::xml_node interface : domain.child("devices").children("interface")) {
    interface.attribute("type").set_value("ethernet");
    for (const char* part : {"source", "target", "virtualport", "filterref", "vlan", "port", "bandwidth"}) {
      interface.remove_child(part);
    }
  }
}

}  // namespace

std::string shadow_xml(const std::string& primary_xml, const ports::ShadowDefinition& definition) {
  pugi::xml_document document = load_xml(primary_xml, "domain");
  const pugi::xml_node domain = document.document_element();
  drop_host_only(domain);
  empty_media(domain);
  put_files(domain, definition.disk_paths);
  map_networks(domain, definition.networks);
  put_tag(domain, definition.tag);
  return to_text(domain);
}

std::string move_xml(const std::string& domain_xml, const ports::MoveRequest& request) {
  pugi::xml_document document = load_xml(domain_xml, "domain");
  const pugi::xml_node domain = document.document_element();
  drop_host_only(domain);
  put_files(domain, request.target_paths);
  map_networks(domain, request.networks);
  put_tag(domain, request.tag);
  return to_text(domain);
}

std::string resume_xml(const std::string& image_xml, const ports::ResumeRequest& request,
                       const std::optional<std::string>& defined_here) {
  pugi::xml_document document = load_xml(image_xml, "domain");
  const pugi::xml_node domain = document.document_element();
  drop_host_only(domain);
  put_files(domain, request.disk_paths);
  if (defined_here) {
    const pugi::xml_document here = load_xml(*defined_here, "domain");
    take_networks(domain, here.document_element());
    put_tag(domain, parse_domain(*defined_here).domain.tag);
  }
  if (request.links_down) join_to_nothing(domain);
  return to_text(domain);
}

std::vector<std::string> unplugged_nics(const std::string& live_xml) {
  pugi::xml_document document = load_xml(live_xml, "domain");
  std::vector<std::string> nics;
  for (pugi::xml_node interface : document.document_element().child("devices").children("interface")) {
    pugi::xml_node link = interface.child("link");
    if (!link) link = interface.append_child("link");
    ensure_attribute(link, "state").set_value("down");
    nics.push_back(to_text(interface));
  }
  return nics;
}

std::string tag_xml(const model::RoleTag& tag) {
  pugi::xml_document document;
  pugi::xml_node node = document.append_child("umbra");
  node.append_attribute("role").set_value(std::string(to_string(tag.role)).c_str());
  node.append_attribute("peer").set_value(tag.peer.get().c_str());
  node.append_attribute("epoch").set_value(static_cast<unsigned long long>(tag.epoch.value));
  return to_text(node);
}

std::vector<std::string> disks_but(const std::string& domain_xml, const std::vector<model::DiskName>& chosen) {
  const pugi::xml_document document = load_xml(domain_xml, "domain");
  std::vector<std::string> others;
  for (const pugi::xml_node disk : document.document_element().child("devices").children("disk")) {
    const std::string name = disk.child("target").attribute("dev").value();
    if (std::find(chosen.begin(), chosen.end(), model::DiskName(name)) == chosen.end()) others.push_back(name);
  }
  return others;
}

}  // namespace umbra::virt
