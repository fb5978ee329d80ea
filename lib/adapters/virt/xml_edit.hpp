// SPDX-License-Identifier: Apache-2.0
#pragma once
// Writes the XML that this folder hands to libvirt: a domain as it is to be elsewhere, and the documents of jobs. Pure.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ports/hypervisor.hpp"

namespace umbra::virt {

/// The primary's definition as the shadow's. Every writable disk must have a path: Kind::invalid names the one that
/// has none. CD-ROMs and floppies are emptied: their media lie on the primary's host.
std::string shadow_xml(const std::string& primary_xml, const ports::ShadowDefinition& definition);

/// A domain as it is to run, or with its inactive XML be defined, on the target of a move.
std::string move_xml(const std::string& domain_xml, const ports::MoveRequest& request);

/// A save image's domain as it is to go on here. `defined_here`, where there is one, is this host's definition of the
/// same VM: its networks (by MAC address) and its tag hold. With links_down its NICs are joined to nothing at all: a
/// link state alone does not do, since QEMU takes the link's state from the image, up, and announces the guest at once.
std::string resume_xml(const std::string& image_xml, const ports::ResumeRequest& request,
                       const std::optional<std::string>& defined_here);

/// The NICs of a running domain with their links down, one document each, as virDomainUpdateDeviceFlags takes them.
std::vector<std::string> unplugged_nics(const std::string& live_xml);

/// Umbra's element as virDomainSetMetadata takes it: without prefix and namespace.
std::string tag_xml(const model::RoleTag& tag);

/// `other_disks` are the domain's further disks, which stay as they are.
std::string snapshot_xml(const ports::FreezeRequest& request, const std::vector<std::string>& other_disks);

struct BackupXml {
  std::map<model::DiskName, std::string> scratch;  ///< per disk of the backup, a file that does not exist yet
  std::vector<std::string> other_disks;
  std::vector<model::DiskName> untracked;  ///< of the backup's disks: whole, whatever `since` says
  std::optional<model::CheckpointName> since;
  std::string listen;       ///< TCP address; empty: by `socket`
  unsigned short port = 0;  ///< with `listen`
  std::string socket;       ///< path of a local socket
};
std::string backup_xml(const BackupXml& backup);
/// With `created`, of a checkpoint that libvirt is to take back.
std::string checkpoint_xml(const model::CheckpointName& name, const std::vector<model::DiskName>& disks,
                           const std::vector<std::string>& other_disks, std::optional<base::Instant> created = {});
/// What is in the bitmaps of a checkpoint, by its XML with sizes; nothing where a disk's is not told.
std::optional<model::ByteCount> checkpoint_bytes(const std::string& xml);
/// The file of each disk in the checkpoint, by the domain that libvirt keeps with it; one that was redefined has none.
std::map<model::DiskName, std::string> files_at_checkpoint(const std::string& xml);
/// The name under which a disk, and where asked for its dirty bitmap, is exported. It marks a job as Umbra's own.
std::string export_name(const model::DiskName& disk);
/// Whether such a job, as libvirt tells it, was begun by Umbra.
bool is_own_backup(const std::string& backup_xml);

/// The target names of all disks of a domain but `chosen`, CD-ROMs included.
std::vector<std::string> disks_but(const std::string& domain_xml, const std::vector<model::DiskName>& chosen);

}  // namespace umbra::virt
