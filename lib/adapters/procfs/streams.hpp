// SPDX-License-Identifier: Apache-2.0
#pragma once
// TCP connections of another process of this host, seen through /proc and pidfd_getfd(2). Needs the right to trace it:
// root, or the same user.

#include <sys/types.h>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "model/ids.hpp"

namespace umbra::procfs {

/// The QEMU in this network namespace that was started with `-uuid` of that VM; nothing where there is none.
std::optional<pid_t> qemu_of(const model::Uuid& vm);

/// One connection. The socket is borrowed from its process: held no longer than it takes to look, since the
/// connection lives as long as anyone has it open.
struct Stream {
  std::uint64_t inode = 0;
  base::UniqueFd socket;
};

class Streams {
 public:
  /// Kind::not_found where there is no such process, Kind::refused where it may not be traced.
  explicit Streams(pid_t pid);
  /// The TCP connections that it began and has open, whatever has become of them. Who connected to it, as to a console,
  /// is none of them.
  std::vector<Stream> begun() const;
  /// Whether QEMU's migration thread is there, known by the name that QEMU gives it where it is told to name its
  /// threads, as libvirt does. It ends last of all: after QEMU has its images back where a migration has failed.
  bool is_migrating() const;
  /// Whether it has, at once or within that time.
  bool has_ended(base::Millis within = base::Millis{0}) const;
  pid_t pid() const { return m_pid; }

 private:
  pid_t m_pid;
  base::UniqueFd m_handle;
};

/// Whether neither end has closed it.
bool is_connected(const Stream& stream);
/// Whether the other end has yet to answer for the first time.
bool is_connecting(const Stream& stream);
/// Whether data, or a question whether there is room for more, have had no answer from the other end for so long. An
/// idle connection never has.
bool is_stalled(const Stream& stream, base::Millis limit);
/// "10.0.0.2:49152".
std::string peer_of(const Stream& stream);
/// Both ways: whoever waits in a call on it, as for a connection to come about, gets an error at once.
void cut(const Stream& stream);

}  // namespace umbra::procfs
