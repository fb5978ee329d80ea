// SPDX-License-Identifier: Apache-2.0
#include "adapters/procfs/guard_door.hpp"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.hpp"

namespace umbra::procfs {
namespace {

using base::Error;
using base::Kind;

constexpr std::byte held_word{'h'};
constexpr std::byte free_word{'-'};

struct Address {
  sockaddr_un name{};
  socklen_t size = 0;
  const sockaddr* generic() const { return reinterpret_cast<const sockaddr*>(&name); }
};

/// In the kernel's own namespace of names, which goes with the network's: no file is left by a guard that was killed.
Address address_of(const model::Uuid& vm) {
  const std::string text = "umbra-guard-" + vm.get();
  Address address;
  address.name.sun_family = AF_UNIX;
  if (text.size() + 1 > sizeof address.name.sun_path) throw Error(Kind::invalid, "no UUID: " + vm.get());
  std::memcpy(address.name.sun_path + 1, text.data(), text.size());
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  return address;
}

base::UniqueFd new_socket(int flags) {
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!fd) throw base::from_errno(errno, "open a socket");
  return fd;
}

/// Names of that kind have no owner: anybody on the host may listen there, and connect.
bool is_trusted(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == 0 || peer.uid == ::geteuid());
}

}  // namespace

GuardDoor::GuardDoor(const model::Uuid& vm) : m_door(new_socket(SOCK_NONBLOCK)) {
  const Address address = address_of(vm);
  if (::bind(m_door.get(), address.generic(), address.size) != 0) {
    if (errno == EADDRINUSE) throw Error(Kind::busy, fmt::format("a guard of {} is here already", vm.get()));
    throw base::from_errno(errno, "listen for the end of the guard");
  }
  if (::listen(m_door.get(), 1) != 0) throw base::from_errno(errno, "listen for the end of the guard");
}

bool GuardDoor::is_asked() {
  if (m_asking) return true;
  base::UniqueFd client(::accept4(m_door.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (client && is_trusted(client.get())) m_asking = std::move(client);
  return static_cast<bool>(m_asking);
}

void GuardDoor::answer(bool held) {
  if (!m_asking) return;
  try {
    base::write_all(m_asking.get(), std::array{held ? held_word : free_word}, "whoever ends the guard");
  } catch (const Error&) {
    // It has gone, and may ask again.
  }
  m_asking.reset();
}

bool end_guard(const model::Uuid& vm, base::Millis patience) {
  const base::UniqueFd fd = new_socket(0);
  const Address address = address_of(vm);
  if (::connect(fd.get(), address.generic(), address.size) != 0) {
    if (errno == ECONNREFUSED) return false;
    throw base::from_errno(errno, fmt::format("reach the guard of {}", vm.get()));
  }
  if (!is_trusted(fd.get())) throw Error(Kind::refused, fmt::format("what guards {} here is another user's", vm.get()));
  if (!base::readable_within(fd.get(), patience))
    throw Error(Kind::timeout, fmt::format("the guard of {} does not end", vm.get()));
  std::array<std::byte, 1> word{};
  return base::read_full(fd.get(), word, "the guard") == 1 && word[0] == held_word;
}

}  // namespace umbra::procfs
