// SPDX-License-Identifier: Apache-2.0
#pragma once
// A qemu-nbd child that serves one image to one connection of this process.

#include <filesystem>
#include <optional>
#include <string>

#include "adapters/nbd/connection.hpp"
#include "adapters/nbd/process.hpp"
#include "base/error.hpp"

namespace umbra::nbd {

struct ServeOptions {
  std::filesystem::path path;
  std::string format = "qcow2";
  bool read_only = true;
  std::optional<std::string> bitmap{};
  bool allocation_depth = false;
  std::string description{};
};

/// The socket has a name only until it is connected, before the child starts: nothing needs to be cleaned up, whoever
/// dies first, for qemu-nbd ends with its only client.
class QemuNbd {
 public:
  explicit QemuNbd(const ServeOptions& options);

  /// The connected end; for a caller that speaks NBD itself, or carries it elsewhere.
  base::UniqueFd take_socket() { return std::move(m_socket); }
  /// Connects `connection`, with qemu-nbd's own words where it fails.
  void connect(Connection& connection);
  /// Whether it has ended by itself.
  bool ended_within(base::Millis deadline);
  /// Waits for its end (after the client took leave); throws where it failed.
  void finish();

 private:
  base::Error failure(const std::string& fallback);
  std::filesystem::path m_path;
  base::UniqueFd m_socket;
  base::UniqueFd m_stderr;
  Process m_process;
};

}  // namespace umbra::nbd
