// SPDX-License-Identifier: Apache-2.0
#include "adapters/procfs/move_guard.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <map>

#include "adapters/procfs/peer_probe.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace umbra::procfs {
namespace {

constexpr base::Millis between_looks{100};
/// A migration that was asked for just before its owner went may open its connections later than that.
constexpr base::Millis wait_for_first{5000};

enum class Owner { wants_it, says_no, has_gone };

/// Whoever wants the guard writes nothing but the byte by which it is told to let be.
Owner ask(int owner_fd) {
  pollfd owner{owner_fd, POLLIN, 0};
  if (::poll(&owner, 1, 0) <= 0) return Owner::wants_it;
  std::byte word{};
  return ::read(owner_fd, &word, 1) > 0 ? Owner::says_no : Owner::has_gone;
}

std::string host_of(const Stream& stream) {
  const std::string peer = peer_of(stream);
  return peer.substr(0, peer.rfind(':'));
}

/// By address of the host.
using Probes = std::map<std::string, PeerProbe>;

/// Asks each host that a connection leads to, and forgets the others.
void ask_peers(const std::vector<Stream>& streams, Probes& probes, base::Millis now) {
  std::set<std::string> hosts;
  for (const Stream& stream : streams) {
    const std::string host = host_of(stream);
    if (!hosts.insert(host).second) continue;
    probes.try_emplace(host, stream).first->second.look(now);
  }
  std::erase_if(probes, [&](const auto& probe) { return !hosts.contains(probe.first); });
}

/// With the one that is stalled go all others to the same host: QEMU may wait on any of them, as for the answer to a
/// flush of the disk that is mirrored there. Where none is stalled, the host itself may be silent.
void cut_what_does_not_answer(const GuardOptions& options, const std::vector<Stream>& streams, const Probes& probes,
                              base::Millis now) {
  for (const Stream& stream : streams) {
    const std::string host = host_of(stream);
    if (!is_stalled(stream, options.stall) && !probes.at(host).is_silent(now, options.stall)) continue;
    base::log(
        base::Level::warning,
        fmt::format("{} has not answered for {}: QEMU of {} has its connections there cut, so that the guest runs on",
                    host, base::to_human(options.stall), options.vm.get()));
    for (const Stream& other : streams) {
      if (host_of(other) == host) cut(other);
    }
    return;
  }
}

}  // namespace

void guard_move(const GuardOptions& options, const base::CancelToken& cancel, base::Clock& clock,
                const std::function<void()>& ready) {
  const auto pid = qemu_of(options.vm);
  if (!pid) throw base::Error(base::Kind::not_found, fmt::format("no QEMU here runs {}", options.vm.get()));
  const Streams streams(*pid);
  std::set<std::uint64_t> before;
  for (const Stream& stream : streams.open([](std::uint64_t) { return true; })) before.insert(stream.inode);
  ready();
  base::Millis last_seen = clock.steady();
  Probes probes;
  while (!streams.has_ended() && !cancel.requested()) {
    const Owner owner = ask(options.owner_fd);
    if (owner == Owner::says_no) return;
    const std::vector<Stream> ours = streams.open([&](std::uint64_t inode) { return !before.contains(inode); });
    ask_peers(ours, probes, clock.steady());
    cut_what_does_not_answer(options, ours, probes, clock.steady());
    if (!ours.empty()) last_seen = clock.steady();
    if (ours.empty() && owner == Owner::has_gone && clock.steady() - last_seen >= wait_for_first) return;
    clock.pause(between_looks);
  }
}

}  // namespace umbra::procfs
