// SPDX-License-Identifier: Apache-2.0
#include "adapters/procfs/move_guard.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>

#include "adapters/procfs/guard_door.hpp"
#include "adapters/procfs/image_hold.hpp"
#include "adapters/procfs/peer_probe.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace umbra::procfs {
namespace {

/// Between the end of QEMU's part and libvirt's answer from the other side there are some tens of milliseconds.
constexpr base::Millis between_looks{20};
/// A migration that was asked for just before its owner went may open its connections later than that.
constexpr base::Millis wait_for_first{5000};
/// Whether a guest that was handed over stands is asked of libvirt.
constexpr base::Millis asked_often{40};
constexpr base::Millis asked_often_for{2000};
constexpr base::Millis asked_later{500};

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
/// flush of the disk that is mirrored there. Where none is stalled, the host itself may be silent. Whether any was cut.
bool cut_what_does_not_answer(const GuardOptions& options, const std::vector<Stream>& streams, const Probes& probes,
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
    return true;
  }
  return false;
}

bool goes_on(const std::optional<std::vector<std::string>>& images_of_standing) {
  return images_of_standing && images_of_standing->empty();
}

class Guard {
 public:
  Guard(const GuardOptions& options, pid_t qemu)
      : m_options(options), m_door(options.vm), m_streams(qemu), m_before(m_streams.inodes()) {}

  /// Until the next look, or QEMU's end: what is held is let go of at once then.
  void wait() const { m_streams.has_ended(between_looks); }

  /// False once there is nothing more to do.
  bool look(base::Millis now) {
    if (m_streams.has_ended()) return false;
    if (m_door.is_asked() && !let_go()) return false;
    const Owner owner = ask(m_options.owner_fd);
    if (owner == Owner::says_no) return false;
    if (watch(now)) m_last_seen = now;
    if (is_handed_over() && is_to_be_asked(now)) hold_where_it_stands();
    return m_hold || m_has_let_go || owner != Owner::has_gone || now - m_last_seen < wait_for_first;
  }
  void begin(base::Millis now) { m_last_seen = now; }

 private:
  /// False where there is nothing more to tell to whoever asks again.
  bool let_go() {
    m_has_let_go |= m_hold.has_value();
    m_hold.reset();
    const bool stands = m_has_let_go && !goes_on(m_options.images_of_standing());
    if (!stands) m_door.close();
    m_door.answer(stands);
    return stands;
  }

  /// Whether QEMU has connections of the migration.
  bool watch(base::Millis now) {
    const std::vector<Stream> ours = m_streams.open([&](std::uint64_t inode) { return !m_before.contains(inode); });
    ask_peers(ours, m_probes, now);
    m_has_cut |= cut_what_does_not_answer(m_options, ours, m_probes, now);
    m_has_begun |= !ours.empty();
    return !ours.empty();
  }

  /// QEMU closes its connections itself at the end of a migration: after the guest goes on here where it has failed,
  /// else with the guest standing. What the guard has cut has failed.
  bool is_handed_over() const {
    if (!m_has_begun || m_has_cut) return false;
    const std::set<std::uint64_t> now = m_streams.inodes();
    return std::ranges::includes(m_before, now);
  }

  bool is_to_be_asked(base::Millis now) {
    if (!m_handed_over) m_handed_over = now;
    const bool soon = !m_hold && now - *m_handed_over < asked_often_for;
    if (m_asked && now - *m_asked < (soon ? asked_often : asked_later)) return false;
    m_asked = now;
    return true;
  }

  void hold_where_it_stands() {
    const auto images = m_options.images_of_standing();
    if (goes_on(images)) {
      m_hold.reset();
      m_has_let_go = false;
    }
    if (!images || images->empty() || m_hold || m_has_let_go) return;
    try {
      m_hold.emplace(*images);
    } catch (const base::Error& e) {
      base::log(base::Level::warning,
                fmt::format("{} was handed over, and its half here can't be held: {}", m_options.vm.get(), e.what()));
    }
  }

  const GuardOptions& m_options;
  GuardDoor m_door;
  Streams m_streams;
  std::set<std::uint64_t> m_before;
  Probes m_probes;
  std::optional<ImageHold> m_hold;
  bool m_has_let_go = false;  ///< and it stands yet
  std::optional<base::Millis> m_handed_over;
  std::optional<base::Millis> m_asked;
  bool m_has_begun = false;
  bool m_has_cut = false;
  base::Millis m_last_seen{0};
};

}  // namespace

void guard_move(const GuardOptions& options, const base::CancelToken& cancel, base::Clock& clock,
                const std::function<void()>& ready) {
  const auto pid = qemu_of(options.vm);
  if (!pid) throw base::Error(base::Kind::not_found, fmt::format("no QEMU here runs {}", options.vm.get()));
  Guard guard(options, *pid);
  ready();
  guard.begin(clock.steady());
  while (!cancel.requested() && guard.look(clock.steady())) guard.wait();
}

}  // namespace umbra::procfs
