// SPDX-License-Identifier: Apache-2.0
#include "adapters/procfs/move_guard.hpp"

#include <fmt/core.h>
#include <poll.h>

#include "base/error.hpp"
#include "base/log.hpp"

namespace umbra::procfs {
namespace {

constexpr base::Millis between_looks{100};
/// A migration that was asked for just before its owner went may open its connections later than that.
constexpr base::Millis wait_for_first{5000};

bool is_gone(int owner_fd) {
  pollfd owner{owner_fd, POLLIN, 0};
  return ::poll(&owner, 1, 0) > 0;  // nothing is ever written: it is readable at its end alone
}

std::string host_of(const Stream& stream) {
  const std::string peer = peer_of(stream);
  return peer.substr(0, peer.rfind(':'));
}

/// With the one that is stalled go all others to the same host: QEMU may wait on any of them, as for the answer to a
/// flush of the disk that is mirrored there.
void cut_where_stalled(const GuardOptions& options, const std::vector<Stream>& streams) {
  for (const Stream& stalled : streams) {
    if (!is_stalled(stalled, options.stall)) continue;
    base::log(
        base::Level::warning,
        fmt::format("{} has not answered QEMU of {} for {}: the connections there are cut, so that the guest runs on",
                    peer_of(stalled), options.vm.get(), base::to_human(options.stall)));
    const std::string host = host_of(stalled);
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
  while (!streams.has_ended() && !cancel.requested()) {
    const std::vector<Stream> ours = streams.open([&](std::uint64_t inode) { return !before.contains(inode); });
    cut_where_stalled(options, ours);
    if (!ours.empty()) last_seen = clock.steady();
    if (ours.empty() && is_gone(options.owner_fd) && clock.steady() - last_seen >= wait_for_first) return;
    clock.pause(between_looks);
  }
}

}  // namespace umbra::procfs
