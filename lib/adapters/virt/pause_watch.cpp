// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/pause_watch.hpp"

#include <libvirt/libvirt.h>
#include <mutex>

#include "adapters/virt/connection.hpp"
#include "adapters/virt/errors.hpp"

namespace umbra::virt {

/// Written by the event loop's thread, read by the watcher's.
struct PauseWatch::Seen {
  std::mutex mutex;
  std::optional<base::Millis> since;  ///< of the pause that has not ended
  std::optional<base::Instant> last_pause;
  base::Millis total{0};
  unsigned pauses = 0;
};

namespace {

using Shared = std::shared_ptr<PauseWatch::Seen>;

int on_lifecycle(virConnectPtr, virDomainPtr, int event, int, void* opaque) noexcept {
  PauseWatch::Seen& seen = **static_cast<Shared*>(opaque);
  const base::Millis now = base::system_clock().steady();
  const std::lock_guard lock(seen.mutex);
  if (event == VIR_DOMAIN_EVENT_SUSPENDED && !seen.since) {
    seen.since = now;
    seen.last_pause = base::system_clock().now();
  }
  if (event == VIR_DOMAIN_EVENT_RESUMED && seen.since) {
    seen.total += now - *seen.since;
    seen.since.reset();
    ++seen.pauses;
  }
  return 0;
}

void release(void* opaque) noexcept {
  delete static_cast<Shared*>(opaque);
}

}  // namespace

PauseWatch::PauseWatch(_virConnect* connect, _virDomain* domain)
    : m_connect(connect), m_seen(std::make_shared<Seen>()) {
  const std::string what = "watch the events of " + name_of(domain);
  auto opaque = std::make_unique<Shared>(m_seen);
  m_callback = check(virConnectDomainEventRegisterAny(connect, domain, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                                      VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), opaque.get(), release),
                     what);
  opaque.release();  // libvirt's now
}

PauseWatch::~PauseWatch() {
  virConnectDomainEventDeregisterAny(m_connect, m_callback);
}

base::Seconds PauseWatch::paused(bool expected, base::Millis deadline) const {
  base::wait_until(base::system_clock(), deadline, base::Millis{5}, [&] {
    const std::lock_guard lock(m_seen->mutex);
    return !m_seen->since && (m_seen->pauses > 0 || !expected);
  });
  const std::lock_guard lock(m_seen->mutex);
  return m_seen->total;
}

std::optional<base::Instant> PauseWatch::last_pause() const {
  const std::lock_guard lock(m_seen->mutex);
  return m_seen->last_pause;
}

}  // namespace umbra::virt
