// SPDX-License-Identifier: Apache-2.0
#include "cmd/points.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "base/log.hpp"
#include "base/text.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/lookup.hpp"
#include "cmd/verb.hpp"
#include "ports/delta.hpp"
#include "replicate/sources.hpp"

namespace umbra::cmd {
namespace {

using base::Error;
using base::Kind;

/// One shadow's points, and where they are.
struct Points {
  model::VmName vm;
  model::ShadowId shadow;
  model::HostName host;
  std::unique_ptr<ports::PointStore> store;
  std::vector<model::PointInfo> infos;
};

std::string names_of(const std::vector<model::ShadowId>& there) {
  if (there.empty()) return "there are none there";
  std::string names;
  for (const model::ShadowId& id : there) names += (names.empty() ? "" : ", ") + id.get();
  return "those there are of " + names;
}

/// Points that `replicate --source` or a stream made: they lie under the name itself.
Points of_sources(const model::VmName& name, model::HostName host, std::unique_ptr<ports::PointStore> store,
                  const std::string& where) {
  const model::ShadowId shadow = replicate::sources_shadow(name);
  const std::vector<model::ShadowId> there = store->shadows();
  if (std::ranges::find(there, shadow) == there.end())
    throw Error(Kind::not_found, fmt::format("there are no points of {} {}", name.get(), where), names_of(there));
  return {name, shadow, std::move(host), std::move(store), {}};
}

Points in_folder(Session& session, const model::VmName& name, const std::string& folder) {
  return of_sources(name, session.this_host(), points_in(folder, &session.cancel()), "in " + folder);
}

Points on_host(Session& session, const model::VmName& name, const std::string& host) {
  return of_sources(name, model::HostName(host), session.transport().connect(model::HostName(host)), "on " + host);
}

/// Where the last pass of these sources put its points.
Points where_known(Session& session, const model::VmName& name) {
  const auto known = session.ledger().last_section(sources_key(name), points_section);
  const model::Json place = known ? model::Json::parse(*known) : model::Json::object();
  if (place.contains("into")) return in_folder(session, name, place["into"]);
  if (place.contains("on")) return on_host(session, name, place["on"]);
  if (place.contains("to"))
    throw Error(Kind::unsupported,
                fmt::format("the points of {} are behind {}, which takes points alone", name.get(),
                            place["to"].get<std::string>()),
                fmt::format("on that machine: umbra shadow points {} --into DIR", base::shell_word(name)));
  for (const model::HostConfig& host : session.config().hosts) {
    if (host.name != session.this_host() || !std::filesystem::is_directory(host.images)) continue;
    auto here = points_in(host.images, &session.cancel());  // what came here as a stream, or from another machine
    const auto there = here->shadows();
    if (std::ranges::find(there, replicate::sources_shadow(name)) != there.end())
      return of_sources(name, host.name, std::move(here), "in " + host.images);
  }
  throw Error(
      Kind::not_found, fmt::format("{} has no shadow", name.get()),
      fmt::format("`umbra shadow list` lists those that are known; of sources, say where: umbra shadow points {} "
                  "--into DIR, or --on HOST",
                  base::shell_word(name)));
}

Points points_of(Session& session, const model::VmName& vm, const PointsOptions& options) {
  const auto find = [&]() -> Points {
    if (!options.into.empty()) return in_folder(session, vm, options.into);
    if (!options.on.empty()) return on_host(session, vm, options.on);
    const auto row = session.shadows().find(vm);
    return row ? Points{vm, row->id, row->host, session.transport().connect(row->host), {}} : where_known(session, vm);
  };
  Points points = find();
  points.infos = points.store->points(points.shadow);
  return points;
}

const model::PointInfo& point_named(const Points& points, unsigned number) {
  const auto it = std::ranges::find(points.infos, model::PointNumber{number}, &model::PointInfo::number);
  if (it != points.infos.end()) return *it;
  throw Error(Kind::not_found, fmt::format("the shadow of {} has no point {}", points.vm.get(), number),
              fmt::format("umbra shadow points {}", base::shell_word(points.vm)));
}

model::Json json_of(const Points& points, const model::PointInfo& point) {
  model::Json json = {{"vm", points.vm.get()},          {"host", points.host.get()},
                      {"point", point.number.value},    {"taken_at", base::to_rfc3339(point.taken_at)},
                      {"memory", point.has_memory()},   {"bytes", point.bytes.value},
                      {"read_back", point.read_back},   {"sound", point.sound()},
                      {"root", point.root.to_string()}, {"layers", point.layers}};
  if (!point.sound()) json["damaged"] = point.damaged;
  return json;
}

Cell state_of(const model::PointInfo& point) {
  if (!point.sound()) return {"damaged", Tone::bad};
  return point.read_back ? Cell("read back") : Cell("not read back", Tone::warn);
}

int list(Session& session, const Points& points) {
  Listing listing(session.out(), {"POINT", "TAKEN AT", "MEMORY", "BYTES", "STATE", "ROOT"});
  for (const model::PointInfo& point : points.infos) {
    listing.add(json_of(points, point), {std::to_string(point.number.value), base::to_rfc3339(point.taken_at),
                                         point.has_memory() ? "yes" : "no", human_bytes(point.bytes.value),
                                         state_of(point), point.root.to_string().substr(0, 19)});
    if (!point.sound())
      base::log(base::Level::warning,
                fmt::format("shadow: {}: point {} is damaged: {}", points.vm.get(), point.number.value, point.damaged));
  }
  listing.finish();
  return exit_done;
}

std::vector<model::PointInfo> chosen(const Points& points, const PointsOptions& options) {
  if (!options.point) return points.infos;
  return {point_named(points, *options.point)};
}

/// "vda at byte 65536: what is wrong", or "vda from byte 65536 to 196608: ..." of neighbouring blocks.
std::vector<std::string> told(const std::vector<model::Mismatch>& mismatches) {
  std::vector<std::string> lines;
  for (auto first = mismatches.begin(); first != mismatches.end();) {
    auto next = first + 1;
    std::optional<std::uint64_t> end;
    if (first->offset) end = *first->offset + model::block_size;
    for (; end && next != mismatches.end() && next->disk == first->disk && next->what == first->what &&
           next->offset == end;
         ++next)
      *end += model::block_size;
    lines.push_back(next == first + 1 ? model::told(*first)
                                      : fmt::format("{} from byte {} to {}: {}", first->disk.get(), *first->offset,
                                                    *end, first->what));
    first = next;
  }
  return lines;
}

/// Each difference is told on standard error, neighbours as one, and is in the point's JSON line.
int verify(Session& session, const Points& points, const PointsOptions& options) {
  if (session.common().dry_run) {
    for (const model::PointInfo& point : chosen(points, options))
      base::log(base::Level::info, fmt::format("shadow: {}: would read point {} back, and mark it where it is damaged",
                                               points.vm.get(), point.number.value));
    return exit_done;
  }
  bool all_sound = true;
  Listing listing(session.out(), {"POINT", "TAKEN AT", "BLOCKS READ", "STATE", "PLACES"});
  for (const model::PointInfo& point : chosen(points, options)) {
    session.cancel().check();
    const model::VerifyReport report = points.store->verify(points.shadow, point.number, ports::Verify::whole);
    model::Json places = model::Json::array();
    for (const model::Mismatch& m : report.mismatches) {
      places.push_back({{"disk", m.disk.get()}, {"what", m.what}});
      if (m.offset) places.back()["offset"] = *m.offset;
    }
    for (const std::string& line : told(report.mismatches))
      base::log(base::Level::error, fmt::format("shadow: {}: point {}: {}", points.vm.get(), point.number.value, line));
    if (report.places > report.mismatches.size())
      base::log(base::Level::error, fmt::format("shadow: {}: point {}: and in {} more places", points.vm.get(),
                                                point.number.value, report.places - report.mismatches.size()));
    all_sound = all_sound && report.sound();
    listing.add(
        {{"vm", points.vm.get()},
         {"host", points.host.get()},
         {"point", point.number.value},
         {"taken_at", base::to_rfc3339(point.taken_at)},
         {"blocks_read", report.blocks_read},
         {"sound", report.sound()},
         {"places", report.places},
         {"damage", places}},
        {std::to_string(point.number.value), base::to_rfc3339(point.taken_at), std::to_string(report.blocks_read),
         report.sound() ? Cell("sound", Tone::good) : Cell("damaged", Tone::bad), std::to_string(report.places)});
  }
  listing.finish();
  if (all_sound) return exit_done;
  base::log(base::Level::error, fmt::format("shadow: {}: the next pass repairs the shadow: {}", points.vm.get(),
                                            ports::next_pass(points.shadow, points.vm)));
  return exit_failed;
}

int export_one(Session& session, const Points& points, const PointsOptions& options) {
  const model::PointInfo* newest = model::newest_sound(points.infos);
  if (!options.point && newest == nullptr)
    throw Error(Kind::refused, fmt::format("the shadow of {} has no sound point", points.vm.get()),
                ports::next_pass(points.shadow, points.vm));
  const model::PointInfo& point = options.point ? point_named(points, *options.point) : *newest;
  if (session.common().dry_run) {
    base::log(base::Level::info,
              fmt::format("shadow: {}: would write the disks of point {} to {} on {}", points.vm.get(),
                          point.number.value, options.export_to, points.host.get()));
    return exit_done;
  }
  Listing listing(session.out(), {"POINT", "ON", "FILE"});
  const std::string to = std::filesystem::absolute(options.export_to);  // with --into it may be relative
  for (const std::string& file : points.store->export_point(points.shadow, point.number, to)) {
    listing.add({{"vm", points.vm.get()},
                 {"host", points.host.get()},
                 {"point", point.number.value},
                 {"root", point.root.to_string()},
                 {"file", file}},
                {std::to_string(point.number.value), points.host.get(), file});
  }
  listing.finish();
  return exit_done;
}

int thin_out(Session& session, const Points& points, const PointsOptions& options) {
  const ports::Keep keep = ports::keep_of(*options.retain, options.retain_for, session.clock().now());
  if (session.common().dry_run) {
    for (std::size_t i = 0; i < keep.surplus(points.infos); ++i)
      base::log(base::Level::info,
                fmt::format("shadow: {}: would merge point {} of {} into the next", points.vm.get(),
                            points.infos[i].number.value, base::to_rfc3339(points.infos[i].taken_at)));
    return exit_done;
  }
  const unsigned gone = ports::thin_out(*points.store, points.shadow, keep);
  base::log(base::Level::info, fmt::format("shadow: {}: {} points were given up", points.vm.get(), gone));
  Points left = points_of(session, points.vm, options);
  return list(session, left);
}

}  // namespace

model::Uuid sources_key(const model::VmName& name) {
  return model::Uuid("source:" + name.get());
}

void check_options(const PointsOptions& options) {
  const int acts = int(options.verify) + int(!options.export_to.empty()) + int(options.retain.has_value());
  if (acts > 1) throw Error(Kind::usage, "--verify, --export and --retain exclude each other", "give one");
  if (!options.into.empty() && !options.on.empty())
    throw Error(Kind::usage, "--into and --on exclude each other",
                "--into DIR is on this machine, --on HOST elsewhere");
  if (options.retain_for && !options.retain)
    throw Error(Kind::usage, "--retain-for goes with --retain alone",
                "umbra shadow points VM --retain 10 --retain-for 7d");
  if (options.point && !options.verify && options.export_to.empty())
    throw Error(Kind::usage, "--point goes with --verify or --export", "umbra shadow points VM --verify --point 3");
  if (!options.export_to.empty() && options.export_to[0] != '/' && options.into.empty())
    throw Error(Kind::usage, fmt::format("--export takes an absolute path, not \"{}\"", options.export_to),
                "it lies on the shadow's host: umbra shadow points VM --export /var/tmp");
}

int run_points(Session& session, const model::VmName& vm, const PointsOptions& options) {
  const bool changes = options.retain || !options.export_to.empty();
  const auto lease = changes ? take_lease(session, vm) : nullptr;
  const Points points = points_of(session, vm, options);
  if (options.verify) return verify(session, points, options);
  if (!options.export_to.empty()) return export_one(session, points, options);
  if (options.retain) return thin_out(session, points, options);
  return list(session, points);
}

}  // namespace umbra::cmd
