// SPDX-License-Identifier: Apache-2.0
// How fast a guest dirties its memory, as QEMU measures it.
#include <libvirt/libvirt.h>

#include "adapters/virt/errors.hpp"
#include "adapters/virt/libvirt_hypervisor.hpp"
#include "adapters/virt/params.hpp"
#include "adapters/virt/units.hpp"
#include "base/clock.hpp"

namespace umbra::virt {

namespace {

constexpr int span_s = 1;
constexpr base::Millis answer_deadline{5'000};

/// The figure of the measurement that was begun; nothing as long as it goes on.
std::optional<model::ByteRate> measured(_virDomain* domain, const std::string& what) {
  virDomainPtr domains[] = {domain, nullptr};
  virDomainStatsRecordPtr* raw = nullptr;
  const int count = check(virDomainListGetStats(domains, VIR_DOMAIN_STATS_DIRTYRATE, &raw, 0), what);
  const std::unique_ptr<virDomainStatsRecordPtr, decltype(&virDomainStatsRecordListFree)> list(
      raw, &virDomainStatsRecordListFree);
  if (count == 0) return std::nullopt;
  const auto status = number_in(raw[0]->params, raw[0]->nparams, "dirtyrate.calc_status");
  const auto rate = number_in(raw[0]->params, raw[0]->nparams, "dirtyrate.megabytes_per_second");
  if (status != VIR_DOMAIN_DIRTYRATE_MEASURED || !rate) return std::nullopt;
  return model::ByteRate{static_cast<double>(*rate) * mib};
}

}  // namespace

void LibvirtHypervisor::begin_dirty_rate(const model::VmName& vm) {
  const DomainHandle domain = m_connection->domain(vm);
  if (!is_active(domain.get())) return;
  // Sampling alone: the modes that count exactly crash QEMU 7.2 where it emulates.
  if (virDomainStartDirtyRateCalc(domain.get(), span_s, VIR_DOMAIN_DIRTYRATE_MODE_PAGE_SAMPLING) == 0) {
    m_measuring.insert(vm);
    return;
  }
  const Failure failure = last_failure();
  if (kind_of(failure) == base::Kind::unreachable)
    throw to_error(failure, m_connection->act("measure the dirty rate of", vm));
}

std::optional<model::ByteRate> LibvirtHypervisor::dirty_rate(const model::VmName& vm) {
  if (!m_measuring.contains(vm)) begin_dirty_rate(vm);
  if (m_measuring.erase(vm) == 0) return std::nullopt;
  const DomainHandle domain = m_connection->domain(vm);
  const std::string what = m_connection->act("measure the dirty rate of", vm);
  std::optional<model::ByteRate> rate;
  base::wait_until(base::system_clock(), answer_deadline, base::Millis{50}, [&] {
    rate = measured(domain.get(), what);
    return rate.has_value();
  });
  return rate;
}

}  // namespace umbra::virt
