// SPDX-License-Identifier: Apache-2.0
#include "sync/sync.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "model/record.hpp"
#include "ports/delta.hpp"
#include "ports/roles.hpp"
#include "ports/sync_files.hpp"

namespace umbra::sync {
namespace {

using base::Error;
using base::Kind;
using model::DomainState;

using Paths = std::map<model::DiskName, std::string>;

/// What a sync finds before it changes anything.
struct Start {
  ports::Hypervisor& primary;
  model::Domain domain;
  std::unique_ptr<ports::PointStore> own;  ///< of the primary's host
  std::unique_ptr<ports::PointStore> far;
  std::vector<model::PointInfo> points;
};

void check_running(const ports::Hypervisor& primary, const std::optional<model::Domain>& domain,
                   const WarmRequest& request) {
  const std::string where = fmt::format("{} on {}", request.vm.get(), request.primary.get());
  if (!domain) throw Error(Kind::not_found, fmt::format("no VM {}", where), "umbra status lists what is where");
  ports::require_primary(primary, *domain);
  if (domain->state != DomainState::running)
    throw Error(Kind::refused,
                fmt::format("{} is {}: there is no running memory to sync", where, model::to_string(domain->state)),
                fmt::format("umbra replicate {} keeps its disks", base::shell_word(request.vm)));
  ports::require_tracked_disks(primary, *domain);
}

Start look(const Context& context, const WarmRequest& request) {
  ports::check_hosts_differ(request.vm, request.primary, request.shadow_host);
  ports::Hypervisor& primary = context.hypervisors.at(request.primary);
  auto domain = primary.find(request.vm);
  check_running(primary, domain, request);
  ports::require_shadow_is_off(context.hypervisors, request.shadow_host, *domain);
  Start start{primary,
              std::move(*domain),
              context.transport.connect(request.primary),
              context.transport.connect(request.shadow_host),
              {}};
  start.points = start.far->points(request.shadow);
  if (start.points.empty() && !std::ranges::count(start.far->shadows(), request.shadow))
    throw Error(Kind::not_found, fmt::format("{} has no shadow on {}", request.vm.get(), request.shadow_host.get()),
                ports::make_first(request.vm));
  return start;
}

/// The overlays under the running guest, and the memory file, from freeze() to undo().
class Frozen {
 public:
  Frozen(Start& start, const WarmRequest& request) : m_start(start), m_request(request) {
    for (const model::Disk& disk : start.domain.disks) {
      m_freeze.overlays[disk.name] = ports::overlay_path(disk.path);
      m_disks[disk.name] = disk.path;
    }
    m_freeze.memory_file = ports::memory_path(request.images, request.vm);
  }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

  void freeze() { m_result = m_start.primary.freeze(m_request.vm, m_freeze); }

  /// Asks where the guest runs instead of remembering it: an answer that was lost must not cost an overlay in use. Can
  /// be repeated.
  void undo() {
    base::with_context("folding the overlays back", [&] {
      try {
        fold();
      } catch (Error& e) {
        if (e.hint().empty())
          e.set_hint(fmt::format("the next umbra sync {} folds them", base::shell_word(m_request.vm)));
        throw;
      }
      for (const auto& [disk, overlay] : m_freeze.overlays) m_start.own->remove_made(overlay);
      m_start.own->remove_made(*m_freeze.memory_file);
    });
  }

  const ports::FreezeResult& result() const { return m_result; }
  const std::string& memory_file() const { return *m_freeze.memory_file; }

 private:
  void fold() {
    const auto domain = m_start.primary.find(m_request.vm);
    if (!on_overlays(domain)) return;
    if (domain->state == DomainState::off)
      throw Error(
          Kind::refused,
          fmt::format("{} ended meanwhile: its disks are its overlays and what lies below them", m_request.vm.get()),
          fmt::format("start it again: {}; then umbra sync {} folds them",
                      m_start.primary.by_hand("start", m_request.vm), base::shell_word(m_request.vm)));
    m_start.primary.fold(m_request.vm, m_disks);
    if (on_overlays(m_start.primary.find(m_request.vm)))
      throw Error(Kind::internal, fmt::format("{} still runs on its overlays after the fold", m_request.vm.get()));
  }
  bool on_overlays(const std::optional<model::Domain>& domain) const {
    return domain && std::ranges::any_of(domain->disks, [&](const model::Disk& disk) {
             const auto it = m_freeze.overlays.find(disk.name);
             return it != m_freeze.overlays.end() && it->second == disk.path;
           });
  }
  Start& m_start;
  const WarmRequest& m_request;
  ports::FreezeRequest m_freeze;
  Paths m_disks;
  ports::FreezeResult m_result;
};

void check_space(Start& start, const WarmRequest& request) {
  const model::ByteCount free = start.own->free_space();
  if (free.value == 0 || free >= start.domain.memory) return;  // 0: not known
  throw Error(Kind::no_space,
              fmt::format("{} has {} bytes free in {}, the memory of {} can take {}", request.primary.get(), free.value,
                          request.images, request.vm.get(), start.domain.memory.value),
              "make room there, or set another images folder for that host");
}

ports::FrozenPoint frozen_point(const WarmRequest& request, Start& start, const Frozen& frozen,
                                const std::optional<model::GuestActivity>& activity) {
  ports::FrozenPoint point;
  point.vm = request.vm;
  point.host = request.primary;
  point.shadow = request.shadow;
  point.disks = start.domain.disks;
  for (model::Disk& disk : point.disks) {
    disk.chain = start.own->chain(disk.path);
    std::erase(disk.chain, disk.path);
  }
  point.memory_file = frozen.memory_file();
  point.checkpoints = ports::usable_checkpoints(start.primary, start.domain);
  point.taken_at = frozen.result().taken_at;
  if (activity) point.activity = model::to_text(model::to_json(*activity));
  return point;
}

WarmResult result_of(const Context& context, const ports::SentPoint& sent, const Frozen& frozen,
                     const std::optional<model::GuestActivity>& activity, base::Millis began) {
  WarmResult result;
  result.state.level = model::ShadowLevel::warm;
  result.state.point = sent.info.number;
  for (const model::Part& part : sent.info.parts) {
    if (part.is_memory()) result.state.memory = part.size;
  }
  result.state.sent = sent.sent;
  if (activity) {
    result.state.processes = activity->processes.size();
    result.state.open_files = activity->open_files;
  }
  result.state.paused_ms = frozen.result().paused_ms;

  result.replica = ports::replica_of(context, sent, began);
  result.replica.quiesced = frozen.result().quiesced;
  return result;
}

}  // namespace

WarmPlan plan_warm(const Context& context, const WarmRequest& request) {
  Start start = look(context, request);
  const model::Ground ground = model::ground_of(start.points);
  const auto choice =
      ports::choose_method(ground, ports::usable_checkpoints(start.primary, start.domain), start.domain.disks);
  WarmPlan plan;
  plan.point = ground.last.next();
  plan.method = ports::to_string(choice.method);
  plan.why = choice.why;
  plan.memory = start.domain.memory;
  return plan;
}

WarmResult warm(const Context& context, const WarmRequest& request) {
  const base::Millis began = context.clock.steady();
  Start start = look(context, request);
  const std::string what =
      fmt::format("syncing {} from {} to {}", request.vm.get(), request.primary.get(), request.shadow_host.get());
  return ports::with_what_is_safe(what, start.points, [&] {
    ports::clear_stale_job(start.primary, start.domain);
    start.domain =
        ports::clear_sync_files(start.primary, *start.own, std::move(start.domain), request.images, context.clock);
    check_running(start.primary, start.domain, request);
    context.cancel.check();
    check_space(start, request);

    const model::Ground ground = start.far->examine(request.shadow);  // may read long: the guest is not frozen yet
    const auto activity = start.primary.guest_activity(request.vm);
    Frozen frozen(start, request);
    const ports::SentPoint sent = base::or_undo(
        [&] {
          frozen.freeze();  // the guest runs on, on overlays; below them nothing changes
          const ports::FrozenPoint point = frozen_point(request, start, frozen, activity);
          ports::SentPoint done = ports::send_frozen(context, *start.far, ground, point, request.bandwidth);
          frozen.undo();
          return done;
        },
        [&] { frozen.undo(); });
    ports::require_equal(*start.far, request.shadow, request.vm, sent.info.number);  // the guest is off its overlays

    WarmResult result = result_of(context, sent, frozen, activity, began);
    try {
      ports::thin_out(*start.far, request.shadow,
                      ports::keep_of(request.retain, request.retain_for, context.clock.now()));
    } catch (const Error& e) {
      result.notes.push_back(fmt::format("merging the oldest points: {}", e.what()));
      base::log(base::Level::warning, result.notes.back());
    }
    return result;
  });
}

}  // namespace umbra::sync
