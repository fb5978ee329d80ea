// SPDX-License-Identifier: Apache-2.0
#include <libvirt/virterror.h>
#include <catch2/catch.hpp>
#include <cerrno>

#include "adapters/virt/errors.hpp"

using namespace umbra;
using base::Kind;

namespace {

Kind kind(int code, int domain = VIR_FROM_QEMU, int os_error = 0) {
  return virt::kind_of({code, domain, os_error, "text that no kind follows from: No space left on device"});
}

}  // namespace

TEST_CASE("a failure's kind follows from libvirt's code") {
  CHECK(kind(VIR_ERR_NO_DOMAIN) == Kind::not_found);
  CHECK(kind(VIR_ERR_NO_DOMAIN_CHECKPOINT) == Kind::not_found);
  CHECK(kind(VIR_ERR_OPERATION_INVALID) == Kind::refused);
  CHECK(kind(VIR_ERR_MIGRATE_UNSAFE) == Kind::refused);
  CHECK(kind(VIR_ERR_OPERATION_TIMEOUT) == Kind::busy);
  CHECK(kind(VIR_ERR_RESOURCE_BUSY) == Kind::busy);
  CHECK(kind(VIR_ERR_CHECKPOINT_INCONSISTENT) == Kind::corrupt);
  CHECK(kind(VIR_ERR_CONFIG_UNSUPPORTED) == Kind::unsupported);
  CHECK(kind(VIR_ERR_XML_ERROR) == Kind::invalid);
  CHECK(kind(VIR_ERR_OPERATION_ABORTED) == Kind::cancelled);
  CHECK(kind(VIR_ERR_AUTH_FAILED) == Kind::unreachable);
}

TEST_CASE("a connection that went away is told apart from a failure of the hypervisor") {
  CHECK(kind(VIR_ERR_INTERNAL_ERROR, VIR_FROM_RPC) == Kind::unreachable);
  CHECK(kind(VIR_ERR_INTERNAL_ERROR, VIR_FROM_QEMU) == Kind::io);
}

TEST_CASE("only a number makes a disk full, never the text") {
  CHECK(kind(VIR_ERR_SYSTEM_ERROR, VIR_FROM_QEMU, ENOSPC) == Kind::no_space);
  CHECK(kind(VIR_ERR_SYSTEM_ERROR, VIR_FROM_QEMU, EIO) == Kind::io);
  CHECK(kind(VIR_ERR_SYSTEM_ERROR, VIR_FROM_RPC, ECONNREFUSED) == Kind::unreachable);
  CHECK(kind(VIR_ERR_INTERNAL_ERROR) == Kind::io);
}

TEST_CASE("an error says what was done, what libvirt said, and what to type next") {
  const base::Error error = virt::to_error({VIR_ERR_NO_DOMAIN, VIR_FROM_QEMU, 0, "Domain not found"},
                                           "start web1 on alpha", "virsh list --all");
  CHECK(error.kind() == Kind::not_found);
  CHECK(error.message() == "start web1 on alpha: Domain not found");
  CHECK(error.hint() == "virsh list --all");
}
