// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/errors.hpp"

#include <libvirt/virterror.h>
#include <cerrno>

#include <fmt/format.h>

namespace umbra::virt {

namespace {

base::Kind kind_of_errno(int os_error) {
  switch (os_error) {
    case ENOSPC:
    case EDQUOT:
      return base::Kind::no_space;
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ETIMEDOUT:
      return base::Kind::unreachable;
    case EACCES:
    case EPERM:
      return base::Kind::refused;
    default:
      return base::Kind::io;
  }
}

}  // namespace

base::Kind kind_of(const Failure& failure) {
  switch (failure.code) {
    case VIR_ERR_SYSTEM_ERROR:
      return kind_of_errno(failure.os_error);
    case VIR_ERR_INTERNAL_ERROR:  // a connection that went away is reported so by the client's RPC code
      return failure.domain == VIR_FROM_RPC || failure.domain == VIR_FROM_REMOTE ? base::Kind::unreachable
                                                                                 : base::Kind::io;
    case VIR_ERR_NO_DOMAIN:
    case VIR_ERR_NO_DOMAIN_SNAPSHOT:
    case VIR_ERR_NO_DOMAIN_CHECKPOINT:
    case VIR_ERR_NO_DOMAIN_BACKUP:
    case VIR_ERR_NO_DOMAIN_METADATA:
    case VIR_ERR_NO_NETWORK:
    case VIR_ERR_NO_NODE_DEVICE:
      return base::Kind::not_found;
    case VIR_ERR_NO_CONNECT:
    case VIR_ERR_INVALID_CONN:
    case VIR_ERR_UNKNOWN_HOST:
    case VIR_ERR_NO_HOSTNAME:
    case VIR_ERR_RPC:
    case VIR_ERR_GNUTLS_ERROR:
    case VIR_ERR_SSH:
    case VIR_ERR_LIBSSH:
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_AUTH_UNAVAILABLE:
    case VIR_ERR_AGENT_UNRESPONSIVE:
    case VIR_ERR_AGENT_UNSYNCED:
      return base::Kind::unreachable;
    case VIR_ERR_OPERATION_TIMEOUT:  // libvirt's own wait for the domain's job lock
    case VIR_ERR_RESOURCE_BUSY:
    case VIR_ERR_BLOCK_COPY_ACTIVE:
      return base::Kind::busy;
    case VIR_ERR_OPERATION_INVALID:
    case VIR_ERR_OPERATION_DENIED:
    case VIR_ERR_ACCESS_DENIED:
    case VIR_ERR_HOOK_SCRIPT_FAILED:
    case VIR_ERR_MIGRATE_UNSAFE:
    case VIR_ERR_SNAPSHOT_REVERT_RISKY:
    case VIR_ERR_DOM_EXIST:
      return base::Kind::refused;
    case VIR_ERR_OPERATION_ABORTED:
      return base::Kind::cancelled;
    case VIR_ERR_CHECKPOINT_INCONSISTENT:
      return base::Kind::corrupt;
    case VIR_ERR_NO_SUPPORT:
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
    case VIR_ERR_OPERATION_UNSUPPORTED:
    case VIR_ERR_CPU_INCOMPATIBLE:
      return base::Kind::unsupported;
    case VIR_ERR_INVALID_ARG:
    case VIR_ERR_XML_ERROR:
    case VIR_ERR_XML_DETAIL:
    case VIR_ERR_XML_INVALID_SCHEMA:
      return base::Kind::invalid;
    default:
      return base::Kind::io;
  }
}

Failure last_failure() {
  const virError* error = virGetLastError();
  if (error == nullptr) return {VIR_ERR_INTERNAL_ERROR, 0, 0, "libvirt gave no reason"};
  Failure failure{error->code, error->domain, 0, error->message != nullptr ? error->message : ""};
  if (error->code == VIR_ERR_SYSTEM_ERROR) failure.os_error = error->int1;
  return failure;
}

base::Error to_error(const Failure& failure, std::string_view what, std::string hint) {
  return {kind_of(failure), fmt::format("{}: {}", what, failure.message), std::move(hint)};
}

int check(int result, std::string_view what) {
  if (result < 0) throw to_error(last_failure(), what);
  return result;
}

}  // namespace umbra::virt
