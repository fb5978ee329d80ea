// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a run reaches blocks: the far end on a host, a backup job's export, a file on a host.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/ids.hpp"
#include "ports/block_source.hpp"
#include "ports/hypervisor.hpp"
#include "ports/point_store.hpp"

namespace umbra::ports {

/// A file on a host, read as a disk. With a qcow2 the whole chain below is read too.
struct FileExport {
  std::string path;
  std::string format = "qcow2";
  std::optional<std::string> bitmap;  ///< persistent bitmap of that file: `changed` follows it
  std::optional<std::string> above;   ///< a file of the chain: `changed` is what lies above it
};

/// Watches a VM's migration on the host that it leaves, as long as it lives, and beyond that where this process dies.
class MoveGuard {
 public:
  virtual ~MoveGuard() = default;
  /// From now on it cuts and holds nothing: in post-copy a connection that is cut costs more than one that is silent
  /// for a while.
  virtual void let_be() {}
};

class Transport {
 public:
  virtual ~Transport() = default;
  /// The far end on `host`: behind its TLS address, or started by its command, or, where neither is configured, this
  /// process itself. Kind::unreachable where it does not answer, Kind::refused where the two ends don't accept each
  /// other.
  virtual std::unique_ptr<PointStore> connect(const model::HostName& host) = 0;
  virtual std::unique_ptr<BlockSource> open(const NbdExport& nbd) = 0;
  /// Kind::not_found where the file has no such bitmap, Kind::corrupt where the bitmap is inconsistent,
  /// Kind::unsupported where the host takes points alone.
  virtual std::unique_ptr<BlockSource> open(const model::HostName& host, const FileExport& file) = 0;
  /// From now on a connection that the VM's QEMU on `host` opens is cut once its other end has not answered for a few
  /// seconds: the migration fails then, and the guest runs on there. Once QEMU has handed over all and given up
  /// `images`, which the guest writes to, it does not get them back before the guard lets go, whatever libvirt makes of
  /// an answer that it lost. Kind::unsupported where the host takes points alone; throws where it can't be watched.
  virtual std::unique_ptr<MoveGuard> guard_move(const model::HostName& host, const model::Uuid& vm,
                                                const std::vector<std::string>& images) = 0;
  /// Lets the guest go on there, whoever has begun the guard. Whether it was held; false where there is no guard.
  virtual bool end_guard(const model::HostName& host, const model::Uuid& vm) = 0;
};

}  // namespace umbra::ports
