// SPDX-License-Identifier: Apache-2.0
#include "shadow/rehearse.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "model/record.hpp"
#include "ports/delta.hpp"

namespace umbra::shadow {
namespace {

using base::Error;
using base::Kind;
using model::DomainState;

constexpr auto purpose = model::rehearsal_purpose;
constexpr base::Millis between_looks{1000};

model::PointInfo newest_with_memory(ports::PointStore& store, const RehearseRequest& request) {
  const std::vector<model::PointInfo> points = store.points(request.shadow);
  const auto it = std::find_if(points.rbegin(), points.rend(),
                               [](const auto& point) { return point.sound() && point.has_memory(); });
  if (it == points.rend())
    throw Error(
        Kind::refused,
        fmt::format("no sound point of {} on {} has memory to resume from", request.vm.get(), request.host.get()),
        fmt::format("umbra sync {}", base::shell_word(request.vm)));
  return *it;
}

void check_off(ports::Hypervisor& host, const RehearseRequest& request) {
  const auto domain = host.find(request.vm);
  const std::string what = fmt::format("{} on {}", request.vm.get(), request.host.get());
  if (!domain) throw Error(Kind::not_found, fmt::format("no shadow {}", what), ports::make_first(request.vm));
  if (domain->tag.role != model::Role::shadow && domain->tag.role != model::Role::hibernated)
    throw Error(Kind::refused, fmt::format("{} is no shadow", what), "umbra status shows what stands where");
  if (domain->state == DomainState::off) return;
  if (!model::is_rehearsal(*domain))
    throw Error(Kind::refused, fmt::format("{} is {}, not off", what, model::to_string(domain->state)),
                "a shadow that is active can't be rehearsed");
}

/// The stand-in and its throwaway layer. Both are gone with end(), or with this object where that was not called.
class StandIn {
 public:
  StandIn(ports::Hypervisor& host, ports::PointStore& store, const RehearseRequest& request)
      : m_host(host), m_store(store), m_request(request) {}
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;

  void resume(const model::PointInfo& point) {
    ports::ResumeRequest resume;
    resume.memory_file = point.memory_file().value();
    m_store.drop_top(m_request.shadow, purpose);  // of a rehearsal that was killed: what its stand-in wrote
    resume.disk_paths = m_store.raise_top(m_request.shadow, point.number, purpose);
    resume.links_down = true;
    m_host.restore(m_request.vm, resume);
  }

  void end() {
    base::with_context(fmt::format("ending the rehearsal of {} on {}", m_request.vm.get(), m_request.host.get()), [&] {
      destroy();
      m_store.drop_top(m_request.shadow, purpose);
    });
  }

 private:
  /// The stand-in alone: what bears the VM's name here may be the VM by now.
  void destroy() {
    const auto domain = m_host.find(m_request.vm);
    if (domain && model::is_rehearsal(*domain)) m_host.destroy(m_request.vm);
  }
  ports::Hypervisor& m_host;
  ports::PointStore& m_store;
  const RehearseRequest& m_request;
};

/// One look at the stand-in.
void look(ports::Hypervisor& host, const model::VmName& vm, Rehearsal& seen,
          std::optional<model::GuestActivity>& last) {
  ++seen.looks;
  const auto domain = host.find(vm);
  if (!domain || domain->state != DomainState::running) return;
  ++seen.looks_running;
  auto activity = host.guest_activity(vm);
  if (!activity) return;
  ++seen.agent_answers;
  if (activity->uptime_s) {
    if (!seen.uptime_first_s) seen.uptime_first_s = activity->uptime_s;
    seen.uptime_last_s = activity->uptime_s;
  }
  last = std::move(activity);
}

}  // namespace

bool Rehearsal::passed() const {
  const bool advanced = !uptime_first_s || agent_answers < 2 || *uptime_last_s > *uptime_first_s;
  return looks > 0 && looks_running == looks && advanced;
}

bool end_left_rehearsal(ports::Hypervisor& host, const model::VmName& vm) {
  const auto domain = host.find(vm);
  if (!domain || !model::is_rehearsal(*domain)) return false;
  base::log(base::Level::info,
            fmt::format("{} on {}: ending the stand-in of a rehearsal that was cut off", vm.get(), host.host().get()));
  host.destroy(vm);
  return true;
}

model::PointInfo plan_rehearsal(const ports::Context& context, const RehearseRequest& request) {
  check_off(context.hypervisors.at(request.host), request);
  return newest_with_memory(*context.transport.connect(request.host), request);
}

Rehearsal rehearse(const ports::Context& context, const RehearseRequest& request) {
  ports::Hypervisor& host = context.hypervisors.at(request.host);
  check_off(host, request);
  end_left_rehearsal(host, request.vm);
  const auto store = context.transport.connect(request.host);
  const model::PointInfo point = newest_with_memory(*store, request);
  ports::require_equal(*store, request.shadow, request.vm, point.number);
  const auto before = model::parse_activity(store->activity(request.shadow, point.number));

  Rehearsal seen;
  seen.point = point.number;
  seen.taken_at = point.taken_at;
  std::optional<model::GuestActivity> last;
  StandIn stand_in(host, *store, request);
  base::or_undo(
      [&] {
        const base::Millis began = context.clock.steady();
        stand_in.resume(point);
        const base::Millis resumed = context.clock.steady();
        seen.resumed_in_s = base::Seconds(resumed - began).count();
        const base::Millis span(static_cast<std::int64_t>(request.watch.count() * 1000));
        base::wait_until(context.clock, span, between_looks, [&] {
          context.cancel.check();
          look(host, request.vm, seen, last);
          return seen.looks_running < seen.looks;  // it stopped: there is nothing left to watch
        });
        seen.watched_s = base::Seconds(context.clock.steady() - resumed).count();
        stand_in.end();
      },
      [&] { stand_in.end(); });
  if (before && last) seen.processes = model::compare_activity(*before, *last);
  return seen;
}

}  // namespace umbra::shadow
