// SPDX-License-Identifier: Apache-2.0
#include "replicate/replicate.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "base/log.hpp"
#include "base/text.hpp"
#include "ports/roles.hpp"
#include "replicate/allowance.hpp"
#include "replicate/due.hpp"

namespace umbra::replicate {
namespace {

using base::Error;
using base::Kind;
using model::DomainState;
using ports::Choice;
using ports::Method;

/// What a pass finds before it changes anything.
struct Start {
  ports::Hypervisor& primary;
  std::unique_ptr<ports::PointStore> far;
  model::Domain domain;
  std::vector<model::CheckpointName> checkpoints;
  model::Ground ground;
  std::vector<model::PointInfo> points;
  Choice choice;
  std::vector<model::DiskName> untracked;  ///< disks that are read whole and compared, whatever the choice
  Images images{};                         ///< of a VM that is off, as they were before they were read
  bool live() const { return domain.state != DomainState::off; }
};

std::string with_damage(const model::Ground& ground, const std::string& why) {
  return ground.damage.empty() ? why : ground.damage + "; " + why;
}

/// Disks without a bitmap make the pass dearer; that is told with it.
void explain_untracked(Start& start) {
  if (start.untracked.empty() || start.choice.method == Method::full) return;
  const std::string formats = ports::formats_of(start.domain, start.untracked);
  const std::string why =
      with_damage(start.ground, formats + ": its changes can't be tracked, it is read once and compared");
  const bool all = start.untracked.size() == start.domain.disks.size();
  if (all) start.choice = {Method::digest, std::nullopt, why};
  if (start.choice.method == Method::bitmap) start.choice.why = why;
}

/// Of the shadow's files: what their descriptions tell, or what is found where they are examined too. That marks what
/// is damaged, so that a plan does without.
enum class Knowledge { told, examined };

/// A bitmap of a file that another disk stood on then is of no use.
void distrust_exchanged(Start& start) {
  if (start.choice.method != Method::bitmap) return;
  const std::string why = ports::exchanged_since(start.primary, start.domain, *start.choice.since);
  if (!why.empty()) start.choice = {Method::digest, std::nullopt, with_damage(start.ground, why)};
}

Start look(const Context& context, const PassRequest& request, Knowledge of_files) {
  ports::check_hosts_differ(request.vm, request.primary, request.shadow_host);
  ports::Hypervisor& primary = context.hypervisors.at(request.primary);
  auto domain = primary.find(request.vm);
  if (!domain)
    throw Error(Kind::not_found, fmt::format("no VM {} on {}", request.vm.get(), request.primary.get()),
                "umbra status lists what is where");
  check_primary(primary, *domain, request.primary);
  ports::require_shadow_is_off(context.hypervisors, request.shadow_host, *domain);
  Start start{primary, context.transport.connect(request.shadow_host), std::move(*domain), {}, {}, {}, {}, {}};
  if (of_files == Knowledge::examined) start.ground = start.far->examine(request.shadow);
  start.points = start.far->points(request.shadow);
  if (of_files == Knowledge::told) start.ground = model::ground_of(start.points);
  if (start.points.empty() && !std::ranges::count(start.far->shadows(), request.shadow))
    throw Error(Kind::not_found, fmt::format("{} has no shadow on {}", request.vm.get(), request.shadow_host.get()),
                ports::make_first(request.vm));
  if (start.live()) start.checkpoints = primary.checkpoints(request.vm);
  start.choice = ports::choose_method(start.ground, start.checkpoints, start.domain.disks);
  distrust_exchanged(start);
  start.untracked = ports::untracked_disks(start.domain);
  if (start.live()) explain_untracked(start);
  if (!start.live() && start.choice.method != Method::full)
    start.choice = {Method::digest, std::nullopt,
                    with_damage(start.ground, "the VM is off: its disks are read as files")};
  return start;
}

/// Checkpoints of Umbra's that no rule will ever use: all but the one that covers the newest point.
void delete_useless_checkpoints(Start& start) {
  const std::string covers = start.ground.parent ? start.ground.parent->checkpoint : "";
  std::erase_if(start.checkpoints, [&](const model::CheckpointName& name) {
    const bool useless = ports::point_of(name) && name.get() != covers;
    if (useless) start.primary.delete_checkpoint(start.domain.name, name);
    return useless;
  });
}

/// The backup job and the checkpoint that it made. The job ends with this object at the latest.
class LivePass {
 public:
  LivePass(ports::Hypervisor& primary, model::VmName vm, ports::BackupRequest request)
      : m_primary(primary), m_vm(std::move(vm)), m_fresh(request.fresh), m_job(primary.begin_backup(m_vm, request)) {}
  LivePass(const LivePass&) = delete;
  LivePass& operator=(const LivePass&) = delete;

  const ports::BackupJob& job() const { return *m_job; }
  /// The name of its checkpoint; empty where no disk is in one.
  std::string fresh() const { return m_fresh ? m_fresh->get() : std::string(); }
  void end_job() { m_job->end(); }
  /// Of a pass that failed.
  void undo() {
    m_job.reset();  // first: libvirt deletes no checkpoint under a job
    if (!m_fresh) return;
    try {
      m_primary.delete_checkpoint(m_vm, *m_fresh);
    } catch (const Error& e) {
      // Harmless: it is newer than the newest point, and the next pass deletes it.
      base::log(base::Level::warning, fmt::format("{}: {} stays for now: {}", m_vm.get(), m_fresh->get(), e.what()));
    }
  }

 private:
  ports::Hypervisor& m_primary;
  model::VmName m_vm;
  std::optional<model::CheckpointName> m_fresh;
  std::unique_ptr<ports::BackupJob> m_job;
};

ports::BackupRequest backup_request(const Start& start, const PassRequest& request, model::PointNumber next) {
  ports::BackupRequest backup;
  for (const model::Disk& disk : start.domain.disks) backup.disks.push_back(disk.name);
  backup.untracked = start.untracked;
  backup.since = start.choice.since;
  if (start.untracked.size() < start.domain.disks.size()) backup.fresh = ports::fresh_checkpoint(next);
  backup.listen = request.nbd_listen;
  backup.scratch_dir = request.scratch_dir;
  return backup;
}

/// Begins the job as chosen. Where the bitmap turns out to be unusable (the guest died, the disk was put back), the
/// disks are read whole.
std::unique_ptr<LivePass> begin_live(Start& start, const PassRequest& request, model::PointNumber next) {
  const model::VmName& vm = start.domain.name;
  try {
    return std::make_unique<LivePass>(start.primary, vm, backup_request(start, request, next));
  } catch (const Error& e) {
    if (start.choice.method != Method::bitmap || !ports::bitmap_unusable(e)) throw;
    start.choice = {Method::digest, std::nullopt,
                    with_damage(start.ground, fmt::format("the bitmap of {} can't be used: {}",
                                                          start.choice.since->get(), e.message()))};
  }
  return std::make_unique<LivePass>(start.primary, vm, backup_request(start, request, next));
}

/// After the commit a failure does no harm to the point: it becomes a note.
template <class Act>
void tidy(std::vector<std::string>& notes, const std::string& what, Act&& act) {
  try {
    std::forward<Act>(act)();
  } catch (const Error& e) {
    notes.push_back(fmt::format("{}: {}", what, e.what()));
    base::log(base::Level::warning, notes.back());
  }
}

model::PointHeader header_of(const PassRequest& request, base::Instant taken_at) {
  model::PointHeader header;
  header.shadow = request.shadow;
  header.vm = request.vm;
  header.taken_at = taken_at;
  return header;
}

ports::SentPoint send_running(const Context& context, const PassRequest& request, Start& start,
                              const ports::SendOptions& options) {
  ports::clear_stale_job(start.primary, start.domain);
  delete_useless_checkpoints(start);
  const model::PointNumber next = start.ground.last.next();
  const std::unique_ptr<LivePass> pass = begin_live(start, request, next);
  return base::or_undo(
      [&] {
        const ports::Look look = start.choice.method == Method::bitmap ? ports::Look::changed : ports::Look::all;
        std::vector<ports::PartSource> parts;
        for (const ports::NbdExport& nbd : pass->job().exports())
          parts.push_back({nbd.disk, context.transport.open(nbd), look});
        model::PointHeader header = header_of(request, pass->job().taken_at());
        header.checkpoint = pass->fresh();
        ports::SentPoint sent = ports::send_point(context, *start.far, start.ground, std::move(header),
                                                  std::move(parts), options, [&] { pass->end_job(); });
        sent.quiesced = pass->job().quiesced();
        return sent;
      },
      [&] { pass->undo(); });
}

ports::SentPoint send_off(const Context& context, const PassRequest& request, Start& start,
                          const ports::SendOptions& options) {
  start.images = images_of(context, request.primary, start.domain);  // before they are read
  return ports::send_point(context, *start.far, start.ground, header_of(request, context.clock.now()),
                           parts_of_files(context, request.primary, start.domain), options,
                           [&] { require_off(start.primary, request.vm); });
}

/// The checkpoint of the pass before: the new point has its own.
void delete_older_checkpoints(const Start& start) {
  for (const model::CheckpointName& name : start.checkpoints) {
    if (ports::point_of(name)) start.primary.delete_checkpoint(start.domain.name, name);
  }
}

std::string context_of(const PassRequest& request) {
  return fmt::format("replicating {} from {} to {}", request.vm.get(), request.primary.get(),
                     request.shadow_host.get());
}

Limits limits_of(const PassRequest& request) {
  return {request.bandwidth, request.link_limit, request.weight};
}

/// What is going to be looked at; nothing where that can't be told.
std::optional<model::ByteCount> bytes_expected(const Start& start, const PassRequest& request) {
  const bool tracked = start.choice.method == Method::bitmap;
  model::ByteCount whole;
  for (const model::Disk& disk : start.domain.disks) {
    if (!tracked || std::ranges::count(start.untracked, disk.name)) whole += disk.size;
  }
  if (!tracked) return whole;
  if (const auto written = start.live() ? start.primary.written_since(request.vm, *start.choice.since) : std::nullopt)
    return *written + whole;
  return request.last ? std::optional(request.last->dirty) : std::nullopt;
}

PassPlan with_duration(PassPlan plan, const PassRequest& request) {
  const auto before = request.last ? measured(*request.last, "the last pass") : std::nullopt;
  const Expected time =
      expected(plan.bytes.value_or(model::ByteCount{}), plan.method, before, limits_of(request), request.link);
  if (plan.bytes) plan.duration = time.duration;
  plan.rate = time.by;
  return plan;
}

}  // namespace

void check_primary(const ports::Hypervisor& hypervisor, const model::Domain& domain, const model::HostName& host) {
  const std::string where = fmt::format("{} on {}", domain.name.get(), host.get());
  ports::require_primary(hypervisor, domain);
  if (domain.state == DomainState::other)
    throw Error(Kind::refused, fmt::format("{} is neither running, paused nor off", where),
                "bring it to one of these first; what it is now: " + hypervisor.by_hand("domstate", domain.name));
  if (domain.state == DomainState::off)
    ports::require_file_disks(hypervisor, domain);  // read whole, whatever their format
  else
    ports::require_disks(hypervisor, domain);  // a backup job reads whatever QEMU does
}

std::vector<ports::PartSource> parts_of_files(const Context& context, const model::HostName& host,
                                              const model::Domain& domain) {
  std::vector<ports::PartSource> parts;
  for (const model::Disk& disk : domain.disks) {
    ports::FileExport file;
    file.path = disk.path;
    file.format = disk.format;
    parts.push_back({disk.name, context.transport.open(host, file), ports::Look::all});
  }
  return parts;
}

void require_off(ports::Hypervisor& primary, const model::VmName& vm) {
  const auto now = primary.find(vm);
  if (!now || now->state != DomainState::off)
    throw Error(Kind::busy, fmt::format("{} was started while its disks were read", vm.get()),
                fmt::format("umbra replicate {}", base::shell_word(vm)));
}

PassRequest pass_request(const model::VmName& vm, const model::VmPolicy& policy, const model::HostConfig& primary,
                         const model::HostName& shadow_host, const model::ShadowId& shadow) {
  PassRequest request;
  request.vm = vm;
  request.primary = primary.name;
  request.shadow_host = shadow_host;
  request.shadow = shadow;
  request.rpo = policy.rpo;
  request.retain = policy.retain;
  request.retain_for = policy.retain_for;
  request.bandwidth = policy.bandwidth;
  request.link_limit = primary.limit;
  request.link = primary.link;
  request.weight = weight_of(policy.priority);
  request.nbd_listen = primary.nbd_listen;
  request.scratch_dir = primary.images;
  return request;
}

PassPlan plan_pass(const Context& context, const PassRequest& request) {
  const Start start = look(context, request, Knowledge::told);
  PassPlan plan;
  plan.point = start.ground.last.next();
  plan.method = start.choice.method;
  plan.why = start.choice.why;

  plan.bytes = bytes_expected(start, request);
  return with_duration(std::move(plan), request);
}

PassPlan plan_first_pass(const model::Domain& primary, const PassRequest& request, std::string why) {
  PassPlan plan{{1}, Method::full, std::move(why), model::ByteCount{}, {}, {}};
  for (const model::Disk& disk : primary.disks) *plan.bytes += disk.size;
  return with_duration(std::move(plan), request);
}

PassResult run_pass(const Context& context, const PassRequest& request) {
  const base::Millis began = context.clock.steady();
  ports::Stopwatch stopwatch(context.clock);
  Start start = look(context, request, Knowledge::examined);
  const Allowance allowance(context, request.primary, request.vm, limits_of(request));
  const ports::SendOptions options{[&] { return allowance.now(); }, request.resume, &stopwatch};
  const ports::SentPoint sent = ports::with_what_is_safe(context_of(request), start.points, [&] {
    ports::SentPoint done =
        start.live() ? send_running(context, request, start, options) : send_off(context, request, start, options);
    done.choice = start.choice;
    // The point stands, and its checkpoint with it, whatever comes of this.
    ports::require_equal(*start.far, request.shadow, request.vm, done.info.number);
    stopwatch.lap("read back");
    return done;
  });

  PassResult result;
  if (start.live()) tidy(result.notes, "deleting older checkpoints", [&] { delete_older_checkpoints(start); });
  const ports::Keep keep = ports::keep_of(request.retain, request.retain_for, context.clock.now());
  tidy(result.notes, "merging the oldest points", [&] { ports::thin_out(*start.far, request.shadow, keep); });
  tidy(result.notes, "looking at the points", [&] {
    const std::vector<model::PointInfo> points = start.far->points(request.shadow);
    result.level = ports::level_of(points);
    for (const model::PointInfo& point : points) {
      if (!point.sound())
        result.notes.push_back(fmt::format("point {} is damaged: {}", point.number.value, point.damaged));
    }
  });
  stopwatch.lap("tidy");
  result.replica = ports::replica_of(context, sent, began);
  result.replica.phases = stopwatch.take();
  tell_due(context, request, start.ground, start.points, start.images, sent, result);
  return result;
}

}  // namespace umbra::replicate
