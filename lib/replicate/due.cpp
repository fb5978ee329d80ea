// SPDX-License-Identifier: Apache-2.0
#include "replicate/due.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "replicate/schedule.hpp"

namespace umbra::replicate {
namespace {

using base::Error;
using base::Kind;

/// An image that its host lets nobody look at: a far end over TLS serves its own folder alone.
constexpr model::FileStamp unseen{};

/// Whether the RPO was met: by the age of the newest point that could be restored before.
void judge_rpo(const PassRequest& request, const std::vector<model::PointInfo>& before, const ports::SentPoint& sent,
               PassResult& result) {
  model::Replica& replica = result.replica;
  replica.rpo_s = request.rpo.count();
  const auto previous = std::find_if(before.rbegin(), before.rend(), [](const auto& point) { return point.sound(); });
  if (previous == before.rend()) return;
  // How long a VM was off says nothing of what could have been lost.
  if (request.last && request.last->point == previous->number && !request.last->images_off.empty()) return;
  const base::Seconds age = sent.committed_at - previous->taken_at;
  replica.previous_age_s = age.count();
  replica.rpo_met = age <= request.rpo;
  if (*replica.rpo_met) return;
  result.notes.push_back(fmt::format("the RPO of {} was missed: point {} was {} old when point {} became restorable",
                                     base::to_human(request.rpo), previous->number.value, base::to_human(age),
                                     replica.point.value));
}

void schedule(const Context& context, const PassRequest& request, const model::Ground& ground,
              const ports::SentPoint& sent, PassResult& result) {
  model::Replica& replica = result.replica;
  PassFacts facts;
  facts.taken_at = replica.taken_at;
  facts.finished = context.clock.now();
  facts.duration = base::Seconds(replica.duration_s);
  if (ground.parent) facts.since_last = base::Seconds(replica.taken_at - ground.parent->taken_at);
  facts.changed = sent.counts.data + sent.counts.zero;
  facts.sent = sent.sent;
  facts.bandwidth = request.bandwidth;
  if (request.link_limit)
    facts.bandwidth = std::min(request.bandwidth.value_or(*request.link_limit), *request.link_limit);
  facts.rpo = request.rpo;
  facts.every = request.every;
  const Due due = next_due(facts);
  replica.next_due = due.at;
  replica.due_reason = due.reason;
  if (!due.meets_rpo) result.notes.push_back(due.reason);
}

}  // namespace

Images images_of(const Context& context, const model::HostName& host, const model::Domain& domain) {
  Images images;
  const auto files = context.transport.connect(host);
  for (const model::Disk& disk : domain.disks) {
    try {
      images[disk.name] = files->stamp(disk.path);
    } catch (const Error& e) {
      if (e.kind() != Kind::refused) throw;
      images[disk.name] = unseen;
    }
  }
  return images;
}

DueNow due_now(const Context& context, const PassRequest& request, const model::Domain* off) {
  if (!request.last) return {};
  if (off == nullptr) return {!request.last->next_due || *request.last->next_due <= context.clock.now(), {}};
  try {
    check_primary(context.hypervisors.at(request.primary), *off, request.primary);
  } catch (const Error& e) {
    if (e.kind() != Kind::unsupported) throw;
    return {false, fmt::format("the VM is off: {}", e.message())};
  }
  const Images images = images_of(context, request.primary, *off);
  if (images != request.last->images_off) return {};
  const auto point = request.last->point.value;
  const bool all_seen = std::ranges::none_of(images, [](const auto& image) { return image.second == unseen; });
  if (all_seen)
    return {false,
            fmt::format("the VM is off, and its images have not changed since point {} was taken of them", point)};
  return {false,
          fmt::format("the VM is off, and point {} was taken of it since; whether it ran in between is not known: "
                      "its host serves no look at its images",
                      point)};
}

void tell_due(const Context& context, const PassRequest& request, const model::Ground& ground,
              const std::vector<model::PointInfo>& before, const Images& images, const ports::SentPoint& sent,
              PassResult& result) {
  judge_rpo(request, before, sent, result);
  if (images.empty()) return schedule(context, request, ground, sent, result);
  result.replica.images_off = images;
  result.replica.due_reason = "the VM is off: the next pass is due once it runs, or its images have changed";
}

}  // namespace umbra::replicate
