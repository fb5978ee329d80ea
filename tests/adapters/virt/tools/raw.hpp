// SPDX-License-Identifier: Apache-2.0
#pragma once
// The embedded libvirt and its QEMU, as others use them.

#include <memory>
#include <string>

#include "embedded.hpp"

struct _virConnect;
struct _virDomain;

namespace umbra::virt::test {

/// Each call fails the test where libvirt or QEMU says no.
class Raw {
 public:
  explicit Raw(const model::VmName& name);
  _virDomain* domain() const { return m_domain.get(); }
  /// What QEMU's monitor returns, as JSON, for a command with its arguments, as JSON.
  std::string monitor(const std::string& command, const std::string& arguments = "{}") const;
  /// A job that copies the qcow2 file, a disk's top, to a block node: what stands in it, and what is written from now
  /// on.
  void mirror(const std::string& job, const std::string& file, const std::string& target) const;

 private:
  std::string node_of(const std::string& path) const;
  std::unique_ptr<_virConnect, int (*)(_virConnect*)> m_connection;
  std::unique_ptr<_virDomain, int (*)(_virDomain*)> m_domain;
};

}  // namespace umbra::virt::test
