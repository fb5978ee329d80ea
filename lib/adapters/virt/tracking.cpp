// SPDX-License-Identifier: Apache-2.0
// Which blocks of a running guest change: checkpoints, and the pull-mode backup jobs that read them.
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <algorithm>
#include <filesystem>
#include <random>

#include <fmt/format.h>

#include "adapters/virt/agent.hpp"
#include "adapters/virt/domain_xml.hpp"
#include "adapters/virt/errors.hpp"
#include "adapters/virt/jobs.hpp"
#include "adapters/virt/libvirt_hypervisor.hpp"
#include "adapters/virt/xml_edit.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"

namespace umbra::virt {

namespace {

constexpr base::Millis end_deadline{30'000};
/// Exports over TCP take a port of this range. Libvirt 9 chooses none by itself, and tells a port in use as a failure
/// like any other: another is tried.
constexpr unsigned short first_port = 10809;
constexpr unsigned short last_port = 12808;
constexpr unsigned port_tries = 6;

unsigned random_number(unsigned least, unsigned most) {
  static thread_local std::mt19937 generator{std::random_device{}()};
  return std::uniform_int_distribution<unsigned>(least, most)(generator);
}

std::optional<std::string> backup_under_way(_virDomain* domain) {
  const std::string what = "ask for the backup job of " + name_of(domain);
  if (const Text xml{virDomainBackupGetXMLDesc(domain, 0)}) return std::string(xml.get());
  const Failure failure = last_failure();
  if (failure.code == VIR_ERR_NO_DOMAIN_BACKUP || failure.code == VIR_ERR_OPERATION_INVALID) return std::nullopt;
  throw to_error(failure, what);
}

/// Aborting is how a pull-mode job ends; nothing is lost by it. Libvirt removes the scratch files.
void end_backup(_virDomain* domain) {
  const std::string what = "end the backup job of " + name_of(domain);
  if (!is_active(domain) || !backup_under_way(domain)) return;
  if (virDomainAbortJob(domain) < 0) {
    const Failure failure = last_failure();
    if (is_active(domain) && backup_under_way(domain)) throw to_error(failure, what);
  }
  const bool ended = base::wait_until(base::system_clock(), end_deadline, base::Millis{20},
                                      [&] { return !is_active(domain) || !backup_under_way(domain); });
  if (!ended) throw base::Error(base::Kind::timeout, what + ": it goes on", virsh(domain, "domjobabort"));
}

class LibvirtBackup final : public ports::BackupJob {
 public:
  LibvirtBackup(std::shared_ptr<Connection> connection, DomainHandle domain, base::Instant taken_at, bool quiesced)
      : m_connection(std::move(connection)), m_domain(std::move(domain)), m_taken_at(taken_at), m_quiesced(quiesced) {}

  ~LibvirtBackup() override {
    try {
      end();
    } catch (const std::exception& error) {
      base::log(base::Level::warning, error.what());
    }
  }

  const std::vector<ports::NbdExport>& exports() const override { return m_exports; }
  base::Instant taken_at() const override { return m_taken_at; }
  bool quiesced() const override { return m_quiesced; }

  void read_exports(const ports::BackupRequest& request) {
    const auto xml = backup_under_way(m_domain.get());
    if (!xml) throw base::Error(base::Kind::io, "the backup job of " + name_of(m_domain.get()) + " ended at once");
    for (const model::DiskName& disk : request.disks) {
      ports::NbdExport exported{disk, backup_export_uri(*xml, export_name(disk)), {}};
      if (request.since && !std::ranges::count(request.untracked, disk))
        exported.dirty_context = "qemu:dirty-bitmap:" + export_name(disk);
      m_exports.push_back(std::move(exported));
    }
  }

  void end() override {
    if (!m_domain) return;
    end_backup(m_domain.get());
    m_domain.reset();
  }

 private:
  std::shared_ptr<Connection> m_connection;
  DomainHandle m_domain;  ///< null once the job was ended
  base::Instant m_taken_at;
  bool m_quiesced;
  std::vector<ports::NbdExport> m_exports;
};

/// Where the job keeps what the guest overwrites meanwhile: in the folder asked for, else beside each disk.
std::map<model::DiskName, std::string> scratch_files(const model::Domain& domain, const ports::BackupRequest& request,
                                                     const std::string& unique) {
  std::map<model::DiskName, std::string> files;
  for (const model::DiskName& name : request.disks) {
    const auto disk =
        std::find_if(domain.disks.begin(), domain.disks.end(), [&](const auto& d) { return d.name == name; });
    if (disk == domain.disks.end()) {
      throw base::Error(base::Kind::not_found,
                        fmt::format("{} has no writable disk {}", domain.name.get(), name.get()));
    }
    std::filesystem::path folder(request.scratch_dir);
    if (folder.empty()) folder = disk->path.empty() ? "/var/tmp" : std::filesystem::path(disk->path).parent_path();
    files[name] = folder / fmt::format("{}-{}.umbra-scratch", unique, name.get());
  }
  return files;
}

/// Of the checkpoint that is made with the job: disks that can't be tracked are in none.
std::string fresh_checkpoint_xml(const ports::BackupRequest& request, std::vector<std::string> others) {
  std::vector<model::DiskName> tracked = request.disks;
  for (const model::DiskName& disk : request.untracked) {
    if (std::erase(tracked, disk) > 0) others.push_back(disk.get());
  }
  return checkpoint_xml(*request.fresh, tracked, others);
}

/// The failure of one attempt; nothing where the job began.
std::optional<Failure> try_backup(_virDomain* domain, const BackupXml& backup, const std::string& checkpoint) {
  const std::string xml = backup_xml(backup);
  if (virDomainBackupBegin(domain, xml.c_str(), checkpoint.empty() ? nullptr : checkpoint.c_str(), 0) == 0) return {};
  return last_failure();
}

/// Removes bitmaps that bear a checkpoint's name but belong to none that libvirt knows here: a migration carries the
/// source's bitmaps along and leaves its checkpoints behind. True where there was one.
bool drop_orphan_bitmaps(_virDomain* domain, const model::CheckpointName& name) {
  const char* text = name.get().c_str();
  if (Handle<_virDomainCheckpoint>(virDomainCheckpointLookupByName(domain, text, 0))) return false;
  const std::string domain_xml = domain_xml_of(domain, false);
  std::vector<model::DiskName> disks;
  for (const model::Disk& disk : parse_domain(domain_xml).domain.disks) disks.push_back(disk.name);
  bool dropped = false;
  for (const model::DiskName& disk : disks) {
    // Libvirt takes a checkpoint back whose bitmap is there, and deletes both.
    const std::string xml = checkpoint_xml(name, {disk}, disks_but(domain_xml, {disk}), base::system_clock().now());
    const unsigned flags = VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE | VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE;
    const Handle<_virDomainCheckpoint> adopted(virDomainCheckpointCreateXML(domain, xml.c_str(), flags));
    if (adopted) dropped = virDomainCheckpointDelete(adopted.get(), 0) == 0 || dropped;
  }
  return dropped;
}

/// QEMU's own refusals all come as one code: what may lie behind them is taken out of the way, and it is tried again.
void begin_with_free_port(_virDomain* domain, BackupXml& backup, const std::optional<model::CheckpointName>& fresh,
                          const std::string& checkpoint, const std::string& what) {
  std::optional<Failure> failure;
  for (unsigned left = port_tries; left > 0; --left) {
    backup.port = static_cast<unsigned short>(random_number(first_port, last_port));
    failure = try_backup(domain, backup, checkpoint);
    if (!failure) return;
    if (failure->code != VIR_ERR_INTERNAL_ERROR) break;
    const bool dropped = fresh && drop_orphan_bitmaps(domain, *fresh);
    if (backup.listen.empty() && !dropped) break;
  }
  const bool bitmap_lost = backup.since && (failure->code == VIR_ERR_NO_DOMAIN_CHECKPOINT ||
                                            failure->code == VIR_ERR_CHECKPOINT_INCONSISTENT);
  if (!bitmap_lost) throw to_error(*failure, what);
  throw base::Error(base::Kind::corrupt, fmt::format("{}: {}", what, failure->message));
}

}  // namespace

std::vector<model::CheckpointName> LibvirtHypervisor::checkpoints(const model::VmName& vm) {
  const DomainHandle domain = m_connection->domain(vm);
  virDomainCheckpointPtr* raw = nullptr;
  const int count = check(virDomainListAllCheckpoints(domain.get(), &raw, VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL),
                          m_connection->act("list the checkpoints of", vm));
  const std::vector<Handle<_virDomainCheckpoint>> handles(raw, raw + count);
  std::free(raw);
  std::vector<model::CheckpointName> names;
  for (const auto& handle : handles) names.emplace_back(virDomainCheckpointGetName(handle.get()));
  return names;
}

std::map<model::DiskName, std::string> LibvirtHypervisor::checkpoint_files(const model::VmName& vm,
                                                                           const model::CheckpointName& name) {
  const DomainHandle domain = m_connection->domain(vm);
  const std::string what = m_connection->act("read checkpoint " + name.get() + " of", vm);
  const Handle<_virDomainCheckpoint> checkpoint(virDomainCheckpointLookupByName(domain.get(), name.get().c_str(), 0));
  if (!checkpoint) throw to_error(last_failure(), what);
  const Text xml{virDomainCheckpointGetXMLDesc(checkpoint.get(), 0)};
  if (!xml) throw to_error(last_failure(), what);
  return files_at_checkpoint(xml.get());
}

std::optional<model::ByteCount> LibvirtHypervisor::written_since(const model::VmName& vm,
                                                                 const model::CheckpointName& name) {
  const DomainHandle domain = m_connection->domain(vm);
  const Handle<_virDomainCheckpoint> checkpoint(virDomainCheckpointLookupByName(domain.get(), name.get().c_str(), 0));
  if (!checkpoint) return std::nullopt;
  // Libvirt asks QEMU for the bitmaps' own counts; of a domain that is off, or of a lost bitmap, there is none.
  const Text xml{virDomainCheckpointGetXMLDesc(checkpoint.get(), VIR_DOMAIN_CHECKPOINT_XML_SIZE)};
  return xml ? checkpoint_bytes(xml.get()) : std::nullopt;
}

void LibvirtHypervisor::delete_checkpoint(const model::VmName& vm, const model::CheckpointName& name) {
  const DomainHandle domain = m_connection->domain(vm);
  const std::string what = m_connection->act("delete checkpoint " + name.get() + " of", vm);
  const Handle<_virDomainCheckpoint> checkpoint(virDomainCheckpointLookupByName(domain.get(), name.get().c_str(), 0));
  if (!checkpoint) {
    const Failure failure = last_failure();
    if (failure.code != VIR_ERR_NO_DOMAIN_CHECKPOINT) throw to_error(failure, what);
    if (is_active(domain.get())) drop_orphan_bitmaps(domain.get(), name);
    return;
  }
  const bool active = is_active(domain.get());
  if (active && virDomainCheckpointDelete(checkpoint.get(), 0) == 0) return;
  if (active) {
    const Failure failure = last_failure();
    const base::Kind kind = kind_of(failure);
    const bool passing = kind == base::Kind::unreachable || kind == base::Kind::busy || kind == base::Kind::timeout ||
                         kind == base::Kind::cancelled;
    if (passing || has_job(domain.get())) throw to_error(failure, what);
    // A guest whose QEMU died has lost the bitmaps that were in its memory, and libvirt deletes no checkpoint without
    // its bitmaps.
    base::log(base::Level::info, fmt::format("{}: {}; libvirt forgets it", what, failure.message));
  }
  // Of a domain that is off libvirt deletes no bitmap; one that is found without its checkpoint goes before the next
  // job.
  check(virDomainCheckpointDelete(checkpoint.get(), VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY), what);
  if (active) drop_orphan_bitmaps(domain.get(), name);  // of disks where it was not lost
}

std::unique_ptr<ports::BackupJob> LibvirtHypervisor::begin_backup(const model::VmName& vm,
                                                                  const ports::BackupRequest& request) {
  const std::string what = m_connection->act("begin a backup of", vm);
  DomainHandle domain = m_connection->domain(vm);
  refuse_while_busy(domain.get(), what);
  const std::string xml = domain_xml_of(domain.get(), false);
  const model::Domain seen = parse_domain(xml).domain;
  const std::vector<std::string> others = disks_but(xml, request.disks);

  // Files unlike any that a crashed host may have left: libvirt refuses those that exist. QEMU itself makes the socket,
  // as whatever user it runs as, and nobody else may connect to it but root.
  const std::string unique = fmt::format("{}-{:08x}", vm.get(), random_number(0, ~0u));
  BackupXml backup{
      scratch_files(seen, request, unique), others, request.untracked, request.since, request.listen, 0, {}};
  if (request.listen.empty()) backup.socket = fmt::format("/var/tmp/umbra-{}.nbd", unique);
  const std::string checkpoint = request.fresh ? fresh_checkpoint_xml(request, others) : std::string();

  FrozenFileSystems frozen(domain.get(), seen.agent);
  const base::Instant taken_at = base::system_clock().now();  // not later than the job's own instant
  begin_with_free_port(domain.get(), backup, request.fresh, checkpoint, what);
  frozen.thaw();

  auto job = std::make_unique<LibvirtBackup>(m_connection, std::move(domain), taken_at, frozen.worked());
  try {
    job->read_exports(request);
  } catch (const base::Error&) {
    job->end();
    if (request.fresh) delete_checkpoint(vm, *request.fresh);
    throw;
  }
  return job;
}

bool LibvirtHypervisor::end_stale_backup(const model::VmName& vm) {
  const DomainHandle domain = m_connection->domain(vm);
  if (!is_active(domain.get())) return false;
  const auto job = backup_under_way(domain.get());
  if (!job || !is_own_backup(*job)) return false;
  end_backup(domain.get());
  // The run that left it may have died with the guest's file systems frozen; to thaw a thawed guest is nothing.
  if (parse_domain(domain_xml_of(domain.get(), false)).domain.agent) virDomainFSThaw(domain.get(), nullptr, 0, 0);
  return true;
}

}  // namespace umbra::virt
