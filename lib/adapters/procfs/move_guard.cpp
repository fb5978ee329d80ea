// SPDX-License-Identifier: Apache-2.0
#include "adapters/procfs/move_guard.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "adapters/procfs/guard_door.hpp"
#include "adapters/procfs/image_hold.hpp"
#include "adapters/procfs/peer_probe.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace umbra::procfs {
namespace {

/// Between the end of QEMU's part and libvirt's answer from the other side there are some tens of milliseconds.
constexpr base::Millis between_looks{20};
/// A migration that was asked for just before its owner went begins once the other side has started its QEMU, which a
/// busy host takes its time for.
constexpr base::Millis wait_for_first{25'000};
/// Between two migrations of one guest, of which the first was refused.
constexpr base::Millis wait_for_next{5000};
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

/// Of those that can be held, since QEMU locks them while it has them.
std::vector<std::string> held_by_qemu(const GuardOptions& options) {
  std::vector<std::string> images;
  for (const std::string& image : options.images) {
    if (is_written_to(image)) images.push_back(image);
  }
  if (images.empty())
    base::log(
        base::Level::warning,
        fmt::format("{} can't be held here once it was handed over: QEMU locks none of its images", options.vm.get()));
  return images;
}

class Guard {
 public:
  Guard(const GuardOptions& options, pid_t qemu)
      : m_options(options), m_door(options.vm), m_streams(qemu), m_images(held_by_qemu(options)) {
    for (const Stream& stream : m_streams.begun()) m_before.insert(stream.inode);
  }

  void begin(base::Millis now) { m_last_seen = now; }
  /// Until the next look, or QEMU's end: what is held is let go of at once then.
  void wait() const { m_streams.has_ended(between_looks); }
  bool holds() const { return m_hold.has_value(); }

  /// False once there is nothing more to do.
  bool look(base::Millis now) {
    if (m_streams.has_ended()) return false;
    const Owner owner = ask(m_options.owner_fd);
    if (owner == Owner::says_no) return false;
    std::vector<Stream> ours = m_streams.begun();
    std::erase_if(ours, [&](const Stream& stream) { return m_before.contains(stream.inode); });
    give_up_connecting(ours);
    const bool is_open = is_under_way(ours);
    if (m_is_open && !is_open) hold_what_was_handed_over();
    m_is_open = is_open;
    if (m_is_open) m_last_seen = now;
    m_was_open = m_was_open || m_is_open;
    if (m_has_let_go && std::ranges::any_of(m_images, is_written_to)) return false;  // the guest goes on
    std::erase_if(ours, [](const Stream& stream) { return !is_connected(stream); });
    ask_peers(ours, m_probes, now);
    m_has_cut = cut_what_does_not_answer(m_options, ours, m_probes, now) || m_has_cut;
    if (const auto wish = m_door.asked(); wish && !grant(*wish)) return false;
    return m_hold || m_has_let_go || owner != Owner::has_gone ||
           now - m_last_seen < (m_was_open ? wait_for_next : wait_for_first);
  }

 private:
  /// A migration that fails closes its connection before QEMU has its images back: held in between, they would be
  /// missing when the guest goes on, and QEMU would die of it. And one to a disk's copy may stay open for long after
  /// the end. So its thread tells; where QEMU does not name it, the connections do. What becomes of the images later,
  /// as by folding a layer back, is no matter of the migration.
  bool is_under_way(const std::vector<Stream>& ours) {
    const bool has_thread = m_streams.is_migrating();
    m_has_seen_thread = m_has_seen_thread || has_thread;
    return m_has_seen_thread ? has_thread : !ours.empty();
  }

  /// What is not there yet carries nothing. QEMU tries to reach anew the disk whose mirror was cut, which would keep it
  /// waiting for minutes.
  void give_up_connecting(std::vector<Stream>& streams) const {
    std::erase_if(streams, [&](const Stream& stream) {
      if (!is_connecting(stream)) return false;
      if (m_has_cut) cut(stream);
      return true;
    });
  }

  void hold_what_was_handed_over() {
    if (m_images.empty() || std::ranges::any_of(m_images, is_written_to)) return;
    try {
      m_hold.emplace(m_images);
    } catch (const base::Error& e) {
      base::log(base::Level::warning,
                fmt::format("{} was handed over, and its half here can't be held: {}", m_options.vm.get(), e.what()));
    }
  }

  /// False where the guard ends by that.
  bool grant(Wish wish) {
    const bool held = m_hold || m_has_let_go;
    if (wish == Wish::let_go && m_hold) {
      m_hold.reset();
      m_has_let_go = true;
    }
    if (!held) m_door.close();
    m_door.answer(held);
    return held;
  }

  const GuardOptions& m_options;
  GuardDoor m_door;
  Streams m_streams;
  std::vector<std::string> m_images;
  std::set<std::uint64_t> m_before;
  Probes m_probes;
  std::optional<ImageHold> m_hold;
  bool m_has_let_go = false;  ///< and QEMU has not taken its images yet
  bool m_has_cut = false;
  bool m_has_seen_thread = false;
  bool m_is_open = false;   ///< the migration was under way at the last look
  bool m_was_open = false;  ///< at any
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
  // A signal to all that belongs to a service is no proof that the guest does not run over there.
  while ((guard.holds() || !cancel.requested()) && guard.look(clock.steady())) guard.wait();
}

}  // namespace umbra::procfs
