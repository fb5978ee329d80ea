// SPDX-License-Identifier: Apache-2.0
#include "cmd/sources.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "adapters/nbd/image.hpp"
#include "adapters/nbd/point_writer.hpp"
#include "adapters/nbd/sector.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "adapters/nbd/source.hpp"
#include "adapters/stream/stream.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "cmd/errors.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/features.hpp"
#include "cmd/plans.hpp"
#include "cmd/points.hpp"
#include "cmd/session.hpp"
#include "replicate/sources.hpp"

namespace umbra::cmd {
namespace {

using base::Error;
using base::Kind;

/// One --source as typed.
struct Named {
  model::DiskName disk;
  std::string place;
  bool is_uri = false;
};

/// vda to vdz, then vdaa, as a guest counts its disks.
std::string usual_name(std::size_t index) {
  std::string letters;
  for (std::size_t n = index + 1; n > 0; n = (n - 1) / 26)
    letters.insert(letters.begin(), "abcdefghijklmnopqrstuvwxyz"[(n - 1) % 26]);
  return "vd" + letters;
}

/// "NAME=" before the place: a path that holds a "=" is written with its folder, "./a=b".
std::optional<std::string> prefix_of(const std::string& text) {
  const std::size_t end = text.find('=');
  if (end == std::string::npos) return std::nullopt;
  const std::string name = text.substr(0, end);
  if (name.find('/') != std::string::npos) return std::nullopt;
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.'; };
  if (!name.empty() && name[0] != '.' && std::ranges::all_of(name, plain)) return name;
  throw Error(Kind::usage, fmt::format("\"{}\" can't be a disk's name", name),
              fmt::format("it is made of letters, digits, _, - and .; a file that has a = in its name is ./{}", text));
}

bool is_uri(const std::string& place) {
  const std::size_t end = place.find("://");
  if (end == std::string::npos || place.find('/') < end) return false;
  const std::string scheme = place.substr(0, end);
  if (scheme.starts_with("nbd")) return true;
  throw Error(Kind::usage, fmt::format("--source takes no {}:// URI", scheme),
              "name a file, a block device, or an NBD URI such as nbd://host:10809/export");
}

Named parse_source(const std::string& text, std::size_t index) {
  Named named;
  const auto prefix = prefix_of(text);
  named.disk = model::DiskName(prefix ? *prefix : usual_name(index));
  named.place = prefix ? text.substr(prefix->size() + 1) : text;
  if (named.place.empty())
    throw Error(Kind::usage, "--source is given nothing to read", "name a file, a block device or an NBD URI");
  if (named.disk == model::memory_part)
    throw Error(Kind::usage, "no disk can be named \"memory\": a machine's memory is", "choose another name for it");
  named.is_uri = is_uri(named.place);
  return named;
}

std::vector<Named> parse_sources(const SourceOptions& options) {
  if (options.sources.empty())
    throw Error(Kind::usage, "--name, --format, --into, --to and --on go with --source",
                "add --source FILE, or name a VM alone");
  if (options.sources.size() > nbd::most_parts)
    throw Error(Kind::usage,
                fmt::format("a point has at most {} disks, not {}", nbd::most_parts, options.sources.size()),
                nbd::too_many_hint);
  std::vector<Named> all;
  for (const std::string& text : options.sources) {
    all.push_back(parse_source(text, all.size()));
    const Named& last = all.back();
    if (std::ranges::count(all, last.disk, &Named::disk) > 1)
      throw Error(Kind::usage, fmt::format("two sources are named {}", last.disk.get()),
                  "name each: --source vda=FILE --source vdb=FILE");
  }
  return all;
}

void check_name(const std::string& name) {
  constexpr auto hint = "name the machine that the disks are of: --name web1";
  if (name.empty()) throw Error(Kind::usage, "--source needs a --name that is not empty", hint);
  if (!base::is_utf8(name)) throw Error(Kind::usage, "--name must be text in UTF-8", hint);
  try {
    nbd::check_name(name, "the --name of a machine");
  } catch (const Error& e) {
    throw Error(Kind::usage, e.message(), e.hint());
  }
}

void check_targets(const Session& session, const SourceOptions& options, const Limits& limits) {
  const Common& common = session.common();
  if (!common.operands.empty() || common.all)
    throw Error(Kind::usage, "--source and VMs exclude each other", "run it once for each");
  const int targets =
      int(!options.send.empty()) + int(!options.into.empty()) + int(!options.to.empty()) + int(!options.on.empty());
  if (targets != 1)
    throw Error(
        Kind::usage, "it takes one of --send, --into, --to and --on",
        "--into DIR keeps the points on this machine, --on HOST on a configured host, --send - writes a stream");
  if (options.to.empty() && options.tls.given())
    throw Error(Kind::usage, "--ca, --cert, --key, --crl and --key-file go with --to", "add --to HOST:PORT");
  if (options.send.empty()) return;
  check_stream(session, options, limits);
}

/// What is read, and the files whose times tell whether they stayed as they were.
struct Opened {
  std::vector<ports::PartSource> parts;
  std::vector<nbd::ImageStamp> stamps;
};

void check_size(const Named& named, model::ByteCount size) {
  if (size.value == 0)
    throw Error(Kind::invalid, fmt::format("{} has a size of 0", named.place), "name a disk that holds something");
  if (size.value % nbd::sector == 0) return;
  throw Error(
      Kind::invalid,
      fmt::format("the {} bytes of {} are no whole number of sectors of {}", size.value, named.place, nbd::sector),
      named.is_uri ? "serve it padded with zeroes"
                   : fmt::format("pad it with zeroes: truncate -s %{} {}", nbd::sector, base::shell_word(named.place)));
}

void open_file(const Named& named, const SourceOptions& options, Opened& opened) {
  if (!options.into.empty() && nbd::among_points(named.place, options.into))
    throw Error(Kind::refused, fmt::format("{} is itself among the points in {}", named.place, options.into),
                "name another folder with --into");
  nbd::Image image = nbd::open_image(named.place, options.format);
  if (image.device_in_use)
    base::log(base::Level::warning,
              fmt::format("replicate: {} is mounted or part of another device: what is written to it meanwhile is not "
                          "noticed, a snapshot of it is sound",
                          named.place));
  opened.parts.push_back({named.disk, std::move(image.source), ports::Look::all});
  opened.stamps.insert(opened.stamps.end(), image.stamps.begin(), image.stamps.end());
}

Opened open_all(const std::vector<Named>& sources, const SourceOptions& options) {
  Opened opened;
  for (const Named& named : sources) {
    if (named.is_uri)
      opened.parts.push_back({named.disk, nbd::open_uri(named.place, ""), ports::Look::all});
    else
      open_file(named, options, opened);
    check_size(named, opened.parts.back().source->size());
  }
  return opened;
}

std::unique_ptr<ports::PointStore> far_end_of(Session& session, const SourceOptions& options) {
  if (!options.to.empty()) return listening_far_end(options.to, options.tls);
  if (!options.on.empty()) return session.transport().connect(model::HostName(options.on));
  return points_in(options.into, &session.cancel());
}

replicate::SourcesRequest request_of(Session& session, const SourceOptions& options, const Limits& limits) {
  replicate::SourcesRequest request;
  request.name = model::VmName(options.name);
  request.taken_at = session.clock().now();
  const model::VmPolicy policy = session.config().policy(request.name);
  request.retain = limits.retain.value_or(policy.retain);
  request.retain_for = policy.retain_for;
  request.resume = limits.resume;
  request.wait = limits.wait;
  request.from = session.this_host();
  request.limits = {policy.bandwidth, limits.rate, replicate::weight_of(policy.priority)};
  const auto& hosts = session.config().hosts;
  const auto host = std::ranges::find(hosts, request.from, &model::HostConfig::name);
  if (host == hosts.end() || !options.into.empty()) return request;  // a folder of this machine is behind no link
  if (!limits.rate) request.limits.link = host->limit;
  request.link = host->link;
  return request;
}

/// How fast the last pass of the same sources went, or else the newest ones of VMs from this host together.
std::optional<replicate::Measured> measured(Session& session, const replicate::SourcesRequest& request) {
  if (const auto last = session.ledger().last_section(sources_key(request.name), "replica")) {
    const model::Replica replica = model::replica_from(model::Json::parse(*last));
    if (auto own = replicate::measured(replica, "its last pass")) return own;
  }
  // Of those that read all, as sources are read.
  model::ByteCount looked;
  model::ByteCount sent;
  base::Seconds duration{0};
  for (const ports::ShadowRow& row : session.shadows().all()) {
    if (row.primary_host != request.from || !row.replica || row.replica->method != "full") continue;
    looked += row.replica->dirty;
    sent += row.replica->sent;
    duration += base::Seconds(row.replica->duration_s);
  }
  return replicate::measured(ports::Method::full, looked, sent, duration,
                             "the last whole passes from " + request.from.get());
}

/// The point stands, whatever comes of this.
void keep_record(Session& session, const SourceOptions& options, const model::Replica& replica) {
  const model::VmName name(options.name);
  model::Json place;
  if (!options.into.empty()) place["into"] = std::filesystem::absolute(options.into).lexically_normal().string();
  if (!options.on.empty()) place["on"] = options.on;
  if (!options.to.empty()) place["to"] = options.to;
  try {
    const base::Instant now = session.clock().now();
    const std::vector<ports::LedgerRow> rows{
        {sources_key(name), "replica", model::to_text(model::to_json(replica)), now},
        {sources_key(name), points_section, model::to_text(place), now}};
    session.ledger().add_sections(rows);
  } catch (const Error& e) {
    say_notes("replicate", name,
              {fmt::format("where its points are, and how long it took, is not kept: {}", e.what())});
  }
}

void tell_plan(const SourceOptions& options, const replicate::PassPlan& plan, model::Record& record) {
  const auto bytes = plan.bytes.value_or(model::ByteCount{}).value;
  const std::string what =
      plan.point.value == 0 ? "send a whole point" : fmt::format("make point {}", plan.point.value);
  base::log(base::Level::info,
            fmt::format("replicate: {}: would {} by {} ({}), reading {}{}", options.name, what,
                        ports::to_string(plan.method), plan.why, human_bytes(bytes), told_time(plan)));
  record.set_extra("replica_plan", plan_json(plan));
}

void send(Session& session, const SourceOptions& options, const replicate::SourcesRequest& request, Opened opened) {
  const ports::SentPoint sent = replicate::send_whole(context_of(session), request, std::move(opened.parts), to_output);
  base::log(base::Level::info, fmt::format("replicate: {}: sent whole (full): {} looked at, {} sent", options.name,
                                           human_bytes(sent.counts.looked.value), human_bytes(sent.sent.value)));
}

void act(Session& session, const SourceOptions& options, const Limits& limits, const std::vector<Named>& sources,
         model::Record& record) {
  replicate::SourcesRequest request = request_of(session, options, limits);
  // Streams of one name can go to several places at once, as long as they do not share a link.
  const bool alone = options.send.empty() || request.limits.link;
  const auto lease =
      alone && !session.common().dry_run ? session.leases().acquire(request.name, request.wait) : nullptr;
  std::unique_ptr<ports::PointStore> far;
  if (options.send.empty()) far = far_end_of(session, options);
  Opened opened = open_all(sources, options);
  if (session.common().dry_run) {
    request.measured = measured(session, request);
    tell_plan(options,
              far ? replicate::plan_sources(*far, request, opened.parts) : replicate::plan_whole(request, opened.parts),
              record);
    return;
  }
  request.before_commit = [stamps = opened.stamps] { nbd::require_unchanged(stamps); };
  if (!far) return send(session, options, request, std::move(opened));
  const replicate::PassResult result =
      replicate::run_sources(context_of(session), *far, request, std::move(opened.parts));
  say_notes("replicate", request.name, result.notes);
  record.set(result.replica);
  keep_record(session, options, result.replica);
}

}  // namespace

std::unique_ptr<ports::BlockSink> to_output(const model::PointHeader& header) {
  return stream::send_one_way(STDOUT_FILENO, header);
}

void check_stream(const Session& session, const SourceOptions& options, const Limits& limits) {
  if (options.send != "-") throw Error(Kind::usage, "--send takes - alone", "umbra replicate ... --send - > FILE");
  if (limits.retain)
    throw Error(Kind::usage, "--retain is the receiver's with --send", "umbra receive --into DIR --retain N -");
  if (!session.common().dry_run && ::isatty(STDOUT_FILENO) == 1)
    throw Error(Kind::usage, "standard output is a terminal, and a stream is no text",
                "umbra replicate ... --send - | ssh beta umbra receive --into DIR -");
}

int run_sources(Session& session, const SourceOptions& options, const Limits& limits, const RecordTable& table) {
  const std::vector<Named> sources = parse_sources(options);
  check_targets(session, options, limits);
  check_name(options.name);
  model::Vm vm;
  vm.name = model::VmName(options.name);
  model::Record record(vm);
  const bool silent = !options.send.empty();  // standard output is the stream's
  int status = exit_done;
  try {
    base::as_error([&] { act(session, options, limits, sources, record); });
  } catch (Error& error) {
    if (silent || error.kind() == Kind::usage || session.cancel().requested()) throw;
    error = with_hint(std::move(error), "replicate", "");
    record.set(model::RecordError{error.kind(), "replicate", error.what(), error.hint()});
    print_error(error, "replicate", options.name);
    status = status_of(error.kind());
  }
  if (silent) return status;
  session.out().record(record);
  session.out().finish(table);
  return status;
}

}  // namespace umbra::cmd
