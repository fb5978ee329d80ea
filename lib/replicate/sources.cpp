// SPDX-License-Identifier: Apache-2.0
#include "replicate/sources.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.hpp"

namespace umbra::replicate {
namespace {

using base::Error;
using base::Kind;
using ports::Choice;
using ports::Method;

constexpr base::Millis between_looks{100};
constexpr const char* nothing_tells = "nothing tells what changed: it is read once, and what differs is sent";

std::vector<model::Part> parts_of(const std::vector<ports::PartSource>& sources) {
  std::vector<model::Part> parts;
  for (const ports::PartSource& source : sources) parts.push_back({source.name, source.source->size()});
  return parts;
}

model::ByteCount bytes_to_read(std::vector<ports::PartSource>& sources) {
  model::ByteCount bytes;
  for (ports::PartSource& source : sources) {
    source.source->each_extent([&](const ports::Extent& extent) {
      if (!extent.zero) bytes.value += extent.length;
    });
  }
  return bytes;
}

PassPlan planned(const SourcesRequest& request, std::vector<ports::PartSource>& parts, PassPlan plan) {
  plan.bytes = bytes_to_read(parts);
  const Expected time = expected(*plan.bytes, plan.method, request.measured, request.limits, request.link);
  plan.duration = time.duration;
  plan.rate = time.by;
  return plan;
}

Choice choose(const model::Ground& ground) {
  const std::string damage = ground.damage.empty() ? "" : ground.damage + "; ";
  if (!ground.parent) return {Method::full, std::nullopt, damage + "there is no point yet"};
  return {Method::digest, std::nullopt, damage + nothing_tells};
}

/// The points under the name. Those of a virtual machine's own passes bear a checkpoint's name, and go on by it.
std::vector<model::PointInfo> points_of(ports::PointStore& far, const model::VmName& name) {
  std::vector<model::PointInfo> points = far.points(sources_shadow(name));
  if (!points.empty() && !points.back().checkpoint.empty())
    throw Error(Kind::refused, fmt::format("the points of {} there are of a virtual machine's passes", name.get()),
                "choose another --name");
  return points;
}

bool is_there(ports::PointStore& far, const model::ShadowId& shadow) {
  const auto there = far.shadows();
  return std::ranges::find(there, shadow) != there.end();
}

/// What the points' folder, made where there is none, can be built on, once no other run writes to it.
model::Ground ground_when_free(const Context& context, ports::PointStore& far, const SourcesRequest& request,
                               const std::vector<model::Part>& parts) {
  const model::ShadowId shadow = sources_shadow(request.name);
  const auto look = [&] {
    if (!is_there(far, shadow)) far.create(shadow, request.name, parts);
    return far.examine(shadow);
  };
  std::optional<model::Ground> ground;
  base::wait_until(context.clock, request.wait, between_looks, [&] {
    context.cancel.check();
    try {
      ground = look();
    } catch (const Error& e) {
      if (e.kind() != Kind::busy) throw;
    }
    return ground.has_value();
  });
  return ground ? std::move(*ground) : look();
}

/// What the far end keeps of a first pass that failed is what the next one goes on with, or nothing. It may be gone.
void take_back(ports::PointStore& far, const model::ShadowId& shadow) {
  try {
    far.take_back(shadow);
  } catch (const Error& e) {
    base::log(base::Level::debug, fmt::format("the folder of {} may be left behind: {}", shadow.get(), e.what()));
  }
}

/// Sends, commits and reads back.
ports::SentPoint send(const Context& context, ports::PointStore& far, const SourcesRequest& request,
                      std::vector<ports::PartSource> parts, ports::Stopwatch& stopwatch) {
  const model::Ground ground = ground_when_free(context, far, request, parts_of(parts));
  const Allowance allowance(context, request.from, request.name, request.limits);
  model::PointHeader header;
  header.shadow = sources_shadow(request.name);
  header.vm = request.name;
  header.taken_at = request.taken_at;
  const model::ShadowId shadow = header.shadow;
  ports::SentPoint done =
      ports::send_point(context, far, ground, std::move(header), std::move(parts),
                        {[&] { return allowance.now(); }, request.resume, &stopwatch}, request.before_commit);
  done.choice = choose(ground);
  ports::require_equal(far, shadow, request.name, done.info.number);
  stopwatch.lap("read back");
  return done;
}

}  // namespace

model::ShadowId sources_shadow(const model::VmName& name) {
  return model::ShadowId(name.get());
}

PassPlan plan_sources(ports::PointStore& far, const SourcesRequest& request, std::vector<ports::PartSource>& parts) {
  const model::Ground ground = model::ground_of(points_of(far, request.name));
  const Choice choice = choose(ground);
  return planned(request, parts, {ground.last.next(), choice.method, choice.why, {}, {}, {}});
}

PassPlan plan_whole(const SourcesRequest& request, std::vector<ports::PartSource>& parts) {
  return planned(request, parts,
                 {{0}, Method::full, "a stream that nothing comes back of is always whole", {}, {}, {}});
}

PassResult run_sources(const Context& context, ports::PointStore& far, const SourcesRequest& request,
                       std::vector<ports::PartSource> parts) {
  const base::Millis began = context.clock.steady();
  const model::ShadowId shadow = sources_shadow(request.name);
  ports::Stopwatch stopwatch(context.clock);
  const std::vector<model::PointInfo> points = points_of(far, request.name);
  const bool is_new = points.empty() && !is_there(far, shadow);
  const ports::SentPoint sent = ports::with_what_is_safe("replicating " + request.name.get(), points, [&] {
    return base::or_undo([&] { return send(context, far, request, std::move(parts), stopwatch); },
                         [&] {
                           if (is_new) take_back(far, shadow);
                         });
  });

  PassResult result;
  try {
    ports::thin_out(far, shadow, ports::keep_of(request.retain, request.retain_for, context.clock.now()));
  } catch (const Error& e) {
    result.notes.push_back(fmt::format("merging the oldest points: {}", e.what()));
  }
  stopwatch.lap("tidy");
  result.replica = ports::replica_of(context, sent, began);
  result.replica.phases = stopwatch.take();
  return result;
}

ports::SentPoint send_whole(const Context& context, const SourcesRequest& request, std::vector<ports::PartSource> parts,
                            const OpenSink& open) {
  model::PointHeader header;
  header.shadow = sources_shadow(request.name);
  header.vm = request.name;
  header.taken_at = request.taken_at;
  header.parts = parts_of(parts);
  ports::SentPoint result;
  const std::unique_ptr<ports::BlockSink> sink = open(header);
  ports::ChangeDigest changes;
  const Allowance allowance(context, request.from, request.name, request.limits);
  ports::Pace pace(context.clock, context.cancel, [&] { return allowance.now(); });
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const ports::CopyJob job{i, ports::ParentBlocks::zero(), ports::Look::all};
    result.counts += base::with_context(fmt::format("sending {}", parts[i].name.get()), [&] {
      return ports::send_part(*parts[i].source, *sink, changes, job, pace, context.cancel,
                              [&](const ports::CopyProgress& p) {
                                if (context.progress)
                                  context.progress({header.vm, parts[i].name, p.done, p.total, p.told, p.sent});
                              });
    });
  }
  parts.clear();
  if (request.before_commit) request.before_commit();
  result.info = sink->commit(changes.finish());
  result.sent = sink->sent();
  result.choice.method = Method::full;
  return result;
}

}  // namespace umbra::replicate
