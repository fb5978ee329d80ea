// SPDX-License-Identifier: Apache-2.0
#include "replicate/stream_vm.hpp"

#include <fmt/core.h>

namespace umbra::replicate {
namespace {

ports::BackupRequest whole_backup(const model::Domain& domain, const PassRequest& request) {
  ports::BackupRequest backup;
  for (const model::Disk& disk : domain.disks) backup.disks.push_back(disk.name);
  backup.untracked = ports::untracked_disks(domain);
  backup.listen = request.nbd_listen;
  backup.scratch_dir = request.scratch_dir;
  return backup;
}

SourcesRequest whole_request(const PassRequest& request, base::Instant taken_at) {
  SourcesRequest whole;
  whole.name = request.vm;
  whole.taken_at = taken_at;
  whole.from = request.primary;
  whole.limits = {request.bandwidth, request.link_limit, request.weight};
  return whole;
}

ports::SentPoint stream_running(const Context& context, const PassRequest& request, ports::Hypervisor& primary,
                                const model::Domain& domain, const OpenSink& open) {
  ports::clear_stale_job(primary, domain);
  const auto job = primary.begin_backup(request.vm, whole_backup(domain, request));  // ends with this at the latest
  std::vector<ports::PartSource> parts;
  for (const ports::NbdExport& nbd : job->exports())
    parts.push_back({nbd.disk, context.transport.open(nbd), ports::Look::all});
  SourcesRequest whole = whole_request(request, job->taken_at());
  whole.before_commit = [&] { job->end(); };
  ports::SentPoint sent = send_whole(context, whole, std::move(parts), open);
  sent.quiesced = job->quiesced();
  return sent;
}

}  // namespace

ports::SentPoint stream_vm(const Context& context, const PassRequest& request, const OpenSink& open) {
  return base::with_context(fmt::format("sending {} from {}", request.vm.get(), request.primary.get()), [&] {
    ports::Hypervisor& primary = context.hypervisors.at(request.primary);
    const auto domain = primary.find(request.vm);
    if (!domain)
      throw base::Error(base::Kind::not_found, fmt::format("no VM {} on {}", request.vm.get(), request.primary.get()),
                        "umbra status lists what is where");
    check_primary(primary, *domain, request.primary);
    if (domain->state != model::DomainState::off) return stream_running(context, request, primary, *domain, open);
    SourcesRequest whole = whole_request(request, context.clock.now());
    whole.before_commit = [&] { require_off(primary, request.vm); };
    return send_whole(context, whole, parts_of_files(context, request.primary, *domain), open);
  });
}

}  // namespace umbra::replicate
