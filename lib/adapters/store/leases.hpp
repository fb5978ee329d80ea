// SPDX-License-Identifier: Apache-2.0
#pragma once
// The exclusive lease on a VM: flock(2) on a file per VM under the state folder. The kernel frees it when the process
// dies, however it dies; children do not inherit it. The files stay: removing one would let two runs lock two files.

#include <filesystem>

#include "ports/store.hpp"

namespace umbra::store {

class FileLeases final : public ports::Leases {
 public:
  explicit FileLeases(std::filesystem::path state_dir);
  /// Kind::busy names the process that holds it.
  std::unique_ptr<ports::Lease> acquire(const model::VmName& vm, base::Millis wait) override;
  /// `locks`/NAME.lock: letters, digits, '.', '_' and '-' stand for themselves, other bytes as %XX, so that two VMs
  /// never share a file.
  std::filesystem::path path_of(const model::VmName& vm) const;

 private:
  std::filesystem::path m_dir;
};

}  // namespace umbra::store
