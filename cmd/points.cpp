// SPDX-License-Identifier: Apache-2.0
#include "cmd/points.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/lookup.hpp"
#include "ports/point_store.hpp"

namespace umbra::cmd {
namespace {

using base::Error;
using base::Kind;

/// One shadow's points, and where they are.
struct Points {
  model::VmName vm;
  ports::ShadowRow row;
  std::unique_ptr<ports::PointStore> store;
  std::vector<model::PointInfo> infos;
};

Points points_of(Session& session, const model::VmName& vm) {
  const auto row = session.shadows().find(vm);
  if (!row)
    throw Error(Kind::not_found, fmt::format("{} has no shadow", vm.get()),
                "`umbra shadow list` lists those that are known");
  Points points{vm, *row, session.transport().connect(row->host), {}};
  points.infos = points.store->points(row->id);
  return points;
}

const model::PointInfo& point_named(const Points& points, unsigned number) {
  const auto it = std::ranges::find(points.infos, model::PointNumber{number}, &model::PointInfo::number);
  if (it != points.infos.end()) return *it;
  throw Error(Kind::not_found, fmt::format("the shadow of {} has no point {}", points.vm.get(), number),
              fmt::format("umbra shadow points {}", base::shell_word(points.vm)));
}

model::Json json_of(const Points& points, const model::PointInfo& point) {
  model::Json json = {{"vm", points.vm.get()},          {"host", points.row.host.get()},
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

/// Each difference is a line on standard error, and in the point's JSON line.
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
    const model::VerifyReport report = points.store->verify(points.row.id, point.number, ports::Verify::whole);
    model::Json places = model::Json::array();
    for (const model::Mismatch& m : report.mismatches) {
      places.push_back({{"disk", m.disk.get()}, {"offset", m.offset}, {"what", m.what}});
      base::log(base::Level::error, fmt::format("shadow: {}: point {}: {} at byte {}: {}", points.vm.get(),
                                                point.number.value, m.disk.get(), m.offset, m.what));
    }
    all_sound = all_sound && report.sound();
    listing.add(
        {{"vm", points.vm.get()},
         {"host", points.row.host.get()},
         {"point", point.number.value},
         {"taken_at", base::to_rfc3339(point.taken_at)},
         {"blocks_read", report.blocks_read},
         {"sound", report.sound()},
         {"damage", places}},
        {std::to_string(point.number.value), base::to_rfc3339(point.taken_at), std::to_string(report.blocks_read),
         report.sound() ? Cell("sound", Tone::good) : Cell("damaged", Tone::bad),
         std::to_string(report.mismatches.size())});
  }
  listing.finish();
  if (all_sound) return exit_done;
  base::log(base::Level::error, fmt::format("shadow: {}: the next pass repairs the shadow: umbra replicate {}",
                                            points.vm.get(), base::shell_word(points.vm)));
  return exit_failed;
}

int export_one(Session& session, const Points& points, const PointsOptions& options) {
  const model::PointInfo* newest = model::newest_sound(points.infos);
  if (!options.point && newest == nullptr)
    throw Error(Kind::refused, fmt::format("the shadow of {} has no sound point", points.vm.get()),
                fmt::format("umbra replicate {}", base::shell_word(points.vm)));
  const model::PointInfo& point = options.point ? point_named(points, *options.point) : *newest;
  if (session.common().dry_run) {
    base::log(base::Level::info,
              fmt::format("shadow: {}: would write the disks of point {} to {} on {}", points.vm.get(),
                          point.number.value, options.export_to, points.row.host.get()));
    return exit_done;
  }
  Listing listing(session.out(), {"POINT", "ON", "FILE"});
  for (const std::string& file : points.store->export_point(points.row.id, point.number, options.export_to)) {
    listing.add({{"vm", points.vm.get()},
                 {"host", points.row.host.get()},
                 {"point", point.number.value},
                 {"root", point.root.to_string()},
                 {"file", file}},
                {std::to_string(point.number.value), points.row.host.get(), file});
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
  const unsigned gone = ports::thin_out(*points.store, points.row.id, keep);
  base::log(base::Level::info, fmt::format("shadow: {}: {} points were given up", points.vm.get(), gone));
  Points left = points_of(session, points.vm);
  return list(session, left);
}

}  // namespace

void check_options(const PointsOptions& options) {
  const int acts = int(options.verify) + int(!options.export_to.empty()) + int(options.retain.has_value());
  if (acts > 1) throw Error(Kind::usage, "--verify, --export and --retain exclude each other", "give one");
  if (options.retain_for && !options.retain)
    throw Error(Kind::usage, "--retain-for goes with --retain alone",
                "umbra shadow points VM --retain 10 --retain-for 7d");
  if (options.point && !options.verify && options.export_to.empty())
    throw Error(Kind::usage, "--point goes with --verify or --export", "umbra shadow points VM --verify --point 3");
  if (!options.export_to.empty() && options.export_to[0] != '/')
    throw Error(Kind::usage, fmt::format("--export takes an absolute path, not \"{}\"", options.export_to),
                "it lies on the shadow's host: umbra shadow points VM --export /var/tmp");
}

int run_points(Session& session, const model::VmName& vm, const PointsOptions& options) {
  const bool changes = options.retain || !options.export_to.empty();
  const auto lease = changes ? take_lease(session, vm) : nullptr;
  const Points points = points_of(session, vm);
  if (options.verify) return verify(session, points, options);
  if (!options.export_to.empty()) return export_one(session, points, options);
  if (options.retain) return thin_out(session, points, options);
  return list(session, points);
}

}  // namespace umbra::cmd
