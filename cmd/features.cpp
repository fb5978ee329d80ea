// SPDX-License-Identifier: Apache-2.0
#include "cmd/features.hpp"

#include <fmt/core.h>

#include "base/log.hpp"
#include "cmd/records.hpp"
#include "decide/decide.hpp"
#include "pool/pool.hpp"
#include "ports/delta.hpp"
#include "ports/sync_files.hpp"
#include "shadow/rehearse.hpp"

namespace umbra::cmd {

ports::Context context_of(Session& session) {
  return {session.hypervisors(),
          session.transport(),
          session.clock(),
          session.cancel(),
          [&session](const ports::Progress& p) {
            const std::string what = fmt::format("{}: {}", p.vm.get(), p.part.get());
            session.progress().update(what, {p.done.value, p.total.value, p.told.value, p.sent.value});
            if (p.done >= p.total) session.progress().finish(what);
          },
          &session.links()};
}

std::optional<ports::PoolRow> pooled_for(Session& session, const model::Domain& domain, const model::HostName& target) {
  pool::Claim claim{domain.name, target, domain.memory, domain.vcpus, {}};
  for (const model::Disk& disk : domain.disks) claim.disks.push_back(disk.size);
  return pool::choose(session.config().pool, session.pool().all(), claim);
}

std::optional<double> decided_blackout_ms(Session& session, const model::Record& record) {
  const auto decision = find_decision(session, record);
  const auto estimate = decision ? decide::blackout_estimate(*decision) : std::nullopt;
  return estimate ? std::optional(static_cast<double>(estimate->count())) : std::nullopt;
}

namespace {

/// A shadow's host whose libvirt is down can still take points: that a stand-in may be left there is no reason to stop.
void end_left_rehearsal(Session& session, const model::Vm& vm) {
  const auto row = shadow_row_of(session, vm);
  if (!row) return;
  try {
    shadow::end_left_rehearsal(session.hypervisors().at(row->host), vm.name);
  } catch (const base::Error& error) {
    if (error.kind() != base::Kind::unreachable) throw;
    base::log(base::Level::info,
              fmt::format("{}: whether a rehearsal was left behind is not known: {}", vm.name.get(), error.what()));
  }
}

}  // namespace

void clear_leftovers(Session& session, const model::Vm& vm) {
  const model::Domain domain = primary_of(session, vm);
  end_left_rehearsal(session, vm);
  if (domain.state == model::DomainState::off) return;
  ports::Hypervisor& host = session.hypervisors().at(vm.host);
  ports::clear_stale_job(host, domain);
  if (!ports::on_sync_overlay(domain)) return;
  ports::clear_sync_files(host, *session.transport().connect(vm.host), domain, session.config().host(vm.host).images,
                          session.clock());
}

void say_notes(const std::string& verb, const model::VmName& vm, const std::vector<std::string>& notes) {
  for (const std::string& note : notes)
    base::log(base::Level::warning, fmt::format("{}: {}: {}", verb, vm.get(), note));
}

void update_row(Session& session, const model::VmName& vm, const std::function<void(ports::ShadowRow&)>& change) {
  if (session.common().dry_run) return;
  if (auto row = session.shadows().find(vm)) {
    change(*row);
    session.shadows().put(*row);
  }
}

}  // namespace umbra::cmd
