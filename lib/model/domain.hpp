// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is known of a virtual machine and of a host, as plain values.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "model/ids.hpp"

namespace umbra::model {

enum class DomainState { running, paused, off, other };
std::string_view to_string(DomainState state);

/// Of a guest that was moved before its memory: until the rest has followed, it needs both hosts.
enum class Postcopy {
  none,
  active,
  failed  ///< the memory no longer follows: it stands, or will as soon as it needs a page
};

/// What a domain is to Umbra, kept in its libvirt metadata.
enum class Role {
  none,
  primary,
  shadow,
  hibernated,
  leaving  ///< a primary under a walk, from before its move on: it runs, and is not to be started anew
};
std::string_view to_string(Role role);
std::optional<Role> role_from_string(std::string_view text);

struct RoleTag {
  Role role = Role::none;
  HostName peer;
  Epoch epoch;
  bool operator==(const RoleTag&) const = default;
};

struct Disk {
  DiskName name;
  std::string path;     ///< on its host; empty for a source that is no file
  std::string format;   ///< "qcow2", "raw", …
  ByteCount size;       ///< virtual; 0 where not known
  ByteCount allocated;  ///< that its file occupies; 0 where not known
  /// Files below `path`, nearest first, as libvirt or the image headers tell them. Empty where not asked for.
  std::vector<std::string> chain;
};
/// Whether it is the disk's file, or one below that is known.
bool stands_on(const Disk& disk, const std::string& file);

struct Medium {
  DiskName drive;
  std::string file;
};

struct Nic {
  std::string mac;
  std::string network;  ///< bridge or libvirt network
};

struct Domain {
  VmName name;
  Uuid uuid;
  DomainState state = DomainState::off;
  Postcopy postcopy = Postcopy::none;
  /// Paused by a migration, as the hypervisor tells why: what one is yet to bring, or what one has handed over. Nothing
  /// of it has run since, but where it was saved, and restored paused.
  bool is_half = false;
  bool start_failed = false;  ///< off, since its last start failed, or the host could not let run what was brought
  bool persistent = true;
  bool autostart = false;  ///< started with its host
  ByteCount memory;        ///< maximum
  unsigned vcpus = 1;
  std::vector<Disk> disks;          ///< writable disks; CD-ROMs and read-only disks are not among them
  std::vector<DiskName> live_only;  ///< those of a running domain that its definition lacks
  std::vector<Medium> media;        ///< CD-ROMs, floppies and read-only disks that it can't be without
  std::vector<Nic> nics;
  std::vector<std::string> gpus;  ///< "10de:20b5"
  RoleTag tag;
  bool agent = false;                   ///< a guest agent channel is connected
  bool snapshots = false;               ///< libvirt knows snapshots: migration would be refused
  bool job = false;                     ///< a backup, block or migration job is under way
  std::optional<DiskName> block_job{};  ///< where it is that of a disk, which is copied or committed
  std::string xml;                      ///< the inactive definition, as libvirt gave it
  std::string cpu_xml;  ///< the CPU that the guest sees, as a <cpu> element; the host's own where it is passed through
};

/// Names the throwaway layers of a rehearsal in the point store.
inline constexpr const char* rehearsal_purpose = "rehearsal";
/// Whether it is the stand-in of a rehearsal: it bears the VM's name, but runs on throwaway layers alone.
bool is_rehearsal(const Domain& domain);

struct HostFacts {
  HostName name;
  unsigned cpus = 0;
  Fraction cpu_used;  ///< of all CPUs, over the last sampling span
  ByteCount memory;
  ByteCount memory_free;  ///< what new guests can take
  std::vector<std::string> networks;
  std::vector<std::string> gpus;  ///< one entry per free device
  ByteCount images_free;          ///< on the file system where shadows' layers go; 0 where not known
  unsigned running = 0;
  std::string cpu_model;
  std::string uuid;  ///< by which libvirt tells hosts apart; empty where not known
  std::string libvirt_version;
  std::string qemu_version;
};

/// Libvirt's own answer whether a host can run a VM's CPU.
struct CpuVerdict {
  bool usable = true;
  std::string reason;  ///< where it can't
};

}  // namespace umbra::model
