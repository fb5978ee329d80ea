// SPDX-License-Identifier: Apache-2.0
// The documents of snapshots, backups and checkpoints.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "adapters/virt/domain_xml.hpp"
#include "adapters/virt/xml.hpp"
#include "adapters/virt/xml_edit.hpp"

namespace umbra::virt {

namespace {

void add_disk(pugi::xml_node disks, const std::string& name, const char* attribute, const char* value) {
  pugi::xml_node disk = disks.append_child("disk");
  disk.append_attribute("name").set_value(name.c_str());
  disk.append_attribute(attribute).set_value(value);
}

void add_text(pugi::xml_node parent, const char* name, const std::string& text) {
  parent.append_child(name).text().set(text.c_str());
}

void add_overlay(pugi::xml_node disks, const model::DiskName& name, const std::string& path) {
  add_disk(disks, name.get(), "snapshot", "external");
  pugi::xml_node disk = disks.last_child();
  disk.append_attribute("type").set_value("file");
  disk.append_child("driver").append_attribute("type").set_value("qcow2");
  disk.append_child("source").append_attribute("file").set_value(path.c_str());
}

}  // namespace

std::string snapshot_xml(const ports::FreezeRequest& request, const std::vector<std::string>& other_disks) {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("domainsnapshot");
  add_text(root, "name", "umbra-freeze");
  pugi::xml_node memory = root.append_child("memory");
  memory.append_attribute("snapshot").set_value(request.memory_file ? "external" : "no");
  if (request.memory_file) memory.append_attribute("file").set_value(request.memory_file->c_str());
  pugi::xml_node disks = root.append_child("disks");
  for (const auto& [name, path] : request.overlays) add_overlay(disks, name, path);
  for (const std::string& name : other_disks) add_disk(disks, name, "snapshot", "no");
  return to_text(root);
}

std::string export_name(const model::DiskName& disk) {
  return "umbra-" + disk.get();
}

bool is_own_backup(const std::string& xml) {
  const pugi::xml_document document = load_xml(xml, "domainbackup");
  for (const pugi::xml_node disk : document.document_element().child("disks").children("disk")) {
    if (disk.attribute("exportname").value() == export_name(model::DiskName(disk.attribute("name").value())))
      return true;
  }
  return false;
}

std::string backup_xml(const BackupXml& backup) {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("domainbackup");
  root.append_attribute("mode").set_value("pull");
  if (backup.since) add_text(root, "incremental", backup.since->get());
  pugi::xml_node server = root.append_child("server");
  server.append_attribute("transport").set_value(backup.listen.empty() ? "unix" : "tcp");
  if (backup.listen.empty()) {
    server.append_attribute("socket").set_value(backup.socket.c_str());
  } else {
    server.append_attribute("name").set_value(backup.listen.c_str());
    server.append_attribute("port").set_value(static_cast<unsigned>(backup.port));
  }
  pugi::xml_node disks = root.append_child("disks");
  for (const auto& [name, scratch] : backup.scratch) {
    add_disk(disks, name.get(), "backup", "yes");
    pugi::xml_node disk = disks.last_child();
    disk.append_attribute("exportname").set_value(export_name(name).c_str());
    const bool whole = std::ranges::find(backup.untracked, name) != backup.untracked.end();
    if (backup.since && whole) disk.append_attribute("backupmode").set_value("full");
    if (backup.since && !whole) disk.append_attribute("exportbitmap").set_value(export_name(name).c_str());
    disk.append_attribute("type").set_value("file");
    disk.append_child("scratch").append_attribute("file").set_value(scratch.c_str());
  }
  for (const std::string& name : backup.other_disks) add_disk(disks, name, "backup", "no");
  return to_text(root);
}

std::string checkpoint_xml(const model::CheckpointName& name, const std::vector<model::DiskName>& disks_in,
                           const std::vector<std::string>& other_disks, std::optional<base::Instant> created) {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("domaincheckpoint");
  add_text(root, "name", name.get());
  if (created) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(created->time_since_epoch());
    add_text(root, "creationTime", std::to_string(seconds.count()));
  }
  pugi::xml_node disks = root.append_child("disks");
  for (const model::DiskName& disk : disks_in) {
    add_disk(disks, disk.get(), "checkpoint", "bitmap");
    if (created) disks.last_child().append_attribute("bitmap").set_value(name.get().c_str());
  }
  for (const std::string& disk : other_disks) add_disk(disks, disk, "checkpoint", "no");
  return to_text(root);
}

namespace {

std::vector<pugi::xml_node> disks_with_bitmap(const pugi::xml_document& checkpoint) {
  std::vector<pugi::xml_node> disks;
  for (const pugi::xml_node disk : checkpoint.document_element().child("disks").children("disk")) {
    if (std::string_view(disk.attribute("checkpoint").value()) == "bitmap") disks.push_back(disk);
  }
  return disks;
}

}  // namespace

std::optional<model::ByteCount> checkpoint_bytes(const std::string& xml) {
  const pugi::xml_document document = load_xml(xml, "domaincheckpoint");
  model::ByteCount bytes;
  for (const pugi::xml_node& disk : disks_with_bitmap(document)) {
    if (!disk.attribute("size")) return std::nullopt;
    bytes.value += disk.attribute("size").as_ullong();
  }
  return bytes;
}

std::map<model::DiskName, std::string> files_at_checkpoint(const std::string& xml) {
  const pugi::xml_document document = load_xml(xml, "domaincheckpoint");
  const pugi::xml_node domain = document.document_element().child("domain");
  if (!domain) return {};
  std::set<std::string_view> in_it;
  for (const pugi::xml_node& disk : disks_with_bitmap(document)) in_it.insert(disk.attribute("name").value());
  std::map<model::DiskName, std::string> files;
  for (const model::Disk& disk : parse_domain(to_text(domain)).domain.disks) {
    if (in_it.contains(disk.name.get())) files[disk.name] = disk.path;
  }
  return files;
}

}  // namespace umbra::virt
