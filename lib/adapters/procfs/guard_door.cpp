// SPDX-License-Identifier: Apache-2.0
#include "adapters/procfs/guard_door.hpp"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/error.hpp"

namespace umbra::procfs {
namespace {

using base::Error;
using base::Kind;

constexpr std::byte let_go_word{'e'};
constexpr std::byte make_room_word{'n'};
constexpr std::byte held_word{'h'};
constexpr std::byte free_word{'-'};
constexpr int most_waiting = 16;
constexpr base::Millis word_deadline{200};  // for whoever has connected to say what it wants

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
    throw base::from_errno(errno, "listen for who asks the guard");
  }
  if (::listen(m_door.get(), most_waiting) != 0) throw base::from_errno(errno, "listen for who asks the guard");
}

std::optional<Wish> GuardDoor::asked() {
  base::UniqueFd client(::accept4(m_door.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client || !is_trusted(client.get()) || !base::readable_within(client.get(), word_deadline)) return std::nullopt;
  std::byte word{};
  if (::read(client.get(), &word, 1) != 1) return std::nullopt;
  m_asking = std::move(client);
  return word == let_go_word ? Wish::let_go : Wish::make_room;
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

bool ask_guard(const model::Uuid& vm, Wish wish, base::Millis patience) {
  const base::UniqueFd fd = new_socket(0);
  const timeval longest{patience.count() / 1000, patience.count() % 1000 * 1000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof longest);  // of connect, too
  const Address address = address_of(vm);
  if (::connect(fd.get(), address.generic(), address.size) != 0) {
    if (errno == ECONNREFUSED) return false;
    throw base::from_errno(errno, fmt::format("reach the guard of {}", vm.get()));
  }
  if (!is_trusted(fd.get())) throw Error(Kind::refused, fmt::format("what guards {} here is another user's", vm.get()));
  base::write_all(fd.get(), std::array{wish == Wish::let_go ? let_go_word : make_room_word}, "the guard");
  if (!base::readable_within(fd.get(), patience))
    throw Error(Kind::timeout, fmt::format("the guard of {} does not answer", vm.get()));
  std::byte word{};
  return ::read(fd.get(), &word, 1) == 1 && word == held_word;  // one that has just ended says nothing
}

}  // namespace umbra::procfs
