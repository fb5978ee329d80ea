// SPDX-License-Identifier: Apache-2.0
#include "ports/delta.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <random>

#include "base/text.hpp"

namespace umbra::ports {
namespace {

constexpr std::string_view checkpoint_prefix = "umbra-";

using base::Error;
using base::Kind;

const model::Part* find_part(const std::vector<model::Part>& parts, const model::DiskName& name) {
  const auto it = std::ranges::find(parts, name, &model::Part::name);
  return it == parts.end() ? nullptr : &*it;
}

/// How the disks differ in number or size from the point's; empty where they don't.
std::string what_changed(const model::PointInfo& newest, const std::vector<model::Disk>& disks) {
  for (const model::Disk& disk : disks) {
    const model::Part* part = find_part(newest.parts, disk.name);
    if (part == nullptr) return fmt::format("disk {} was added after point {}", disk.name.get(), newest.number.value);
    if (disk.size.value != 0 && disk.size != part->size)
      return fmt::format("disk {} was resized from {} to {} bytes after point {}", disk.name.get(), part->size.value,
                         disk.size.value, newest.number.value);
  }
  for (const model::Part& part : newest.parts) {
    if (!part.is_memory() && std::ranges::find(disks, part.name, &model::Disk::name) == disks.end())
      return fmt::format("disk {} was removed after point {}", part.name.get(), newest.number.value);
  }
  return {};
}

/// Kind::corrupt where the file's bitmap is not known to tell all. A layer that was put on top after the checkpoint got
/// a bitmap of the same name, which only knows the writes since then: the file below has the rest.
void require_whole_bitmap(Transport& transport, const FrozenPoint& frozen, const model::Disk& disk,
                          const model::CheckpointName& checkpoint) {
  if (disk.chain.empty()) return;
  FileExport below;
  below.path = disk.chain.front();
  below.bitmap = checkpoint.get();
  try {
    transport.open(frozen.host, below);
  } catch (const Error& e) {
    if (e.kind() == Kind::not_found) return;
    if (e.kind() == Kind::cancelled) throw;
    throw Error(Kind::corrupt, fmt::format("whether {} holds a part of the bitmap {} can't be told: {}", below.path,
                                           checkpoint.get(), e.message()));
  }
  throw Error(Kind::corrupt,
              fmt::format("the bitmap {} of disk {} is spread over its chain", checkpoint.get(), disk.name.get()));
}

/// Two reasons as one; either may be empty.
std::string both(const std::string& first, const std::string& second) {
  return first.empty() || second.empty() ? first + second : first + "; " + second;
}

/// One of Umbra's own checkpoints that was made with a point after `number`.
const model::CheckpointName* made_after(const std::vector<model::CheckpointName>& checkpoints,
                                        model::PointNumber number) {
  const auto it = std::ranges::find_if(checkpoints, [&](const auto& name) {
    const auto point = point_of(name);
    return point && *point > number;
  });
  return it == checkpoints.end() ? nullptr : &*it;
}

/// Why everything must be sent: never without saying that there were points.
std::string why_full(const model::Ground& ground, const std::vector<model::CheckpointName>& checkpoints) {
  if (!ground.damage.empty()) return "nothing is left to build on: " + ground.damage;
  if (const auto* name = made_after(checkpoints, {}))
    return fmt::format(
        "the shadow has no point: the one that the primary's checkpoint {} was made with is gone from it", name->get());
  return "the shadow has no point yet";
}

std::vector<PartSource> open_disks(Transport& transport, const FrozenPoint& frozen, const Choice& choice) {
  std::vector<PartSource> parts;
  for (const model::Disk& disk : frozen.disks) {
    FileExport file{.path = disk.path, .format = disk.format, .bitmap = std::nullopt, .above = std::nullopt};
    if (choice.method == Method::bitmap) {
      require_whole_bitmap(transport, frozen, disk, *choice.since);
      file.bitmap = choice.since->get();
    }
    if (choice.method == Method::above) file.above = frozen.stands_on.at(disk.name);
    const bool tracked = file.bitmap || file.above;
    parts.push_back({disk.name, transport.open(frozen.host, file), tracked ? Look::changed : Look::all});
  }
  return parts;
}

/// The parent's digests, checked against its root.
model::Manifest checked_manifest(PointStore& far, const model::PointHeader& header, const model::PointInfo& parent) {
  model::Manifest manifest = far.manifest(header.shadow, parent.number);
  if (model::root_of(manifest) != parent.root)
    throw Error(Kind::corrupt,
                fmt::format("the digests of point {} of {} don't match its root", parent.number.value, header.vm.get()),
                make_anew(header.vm));
  return manifest;
}

/// What is known of a part's blocks in the parent.
ParentBlocks parent_of(const std::optional<model::PointInfo>& parent, const std::optional<model::Manifest>& manifest,
                       const model::DiskName& name) {
  if (!parent || find_part(parent->parts, name) == nullptr) return ParentBlocks::zero();
  if (!manifest) return ParentBlocks::unknown();
  for (const model::PartManifest& part : manifest->parts) {
    if (part.part.name == name) return ParentBlocks::known(part);
  }
  throw Error(Kind::corrupt, fmt::format("point {} has no digests of {}", parent->number.value, name.get()));
}

}  // namespace

model::CheckpointName fresh_checkpoint(model::PointNumber point) {
  return model::CheckpointName(fmt::format("{}{}-{:08x}", checkpoint_prefix, point.value, std::random_device{}()));
}

std::optional<model::PointNumber> point_of(const model::CheckpointName& checkpoint) {
  std::string_view text = checkpoint.get();
  if (!text.starts_with(checkpoint_prefix)) return std::nullopt;
  text.remove_prefix(checkpoint_prefix.size());
  model::PointNumber point;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), point.value);
  if (error != std::errc()) return std::nullopt;
  const std::string_view number(text.data(), end);
  text.remove_prefix(number.size());
  const bool ours = !text.empty() && text.front() == '-' && text.size() == 9 &&
                    text.find_first_not_of("0123456789abcdef", 1) == std::string_view::npos;
  return ours && number == std::to_string(point.value) ? std::optional(point) : std::nullopt;
}

std::string_view to_string(Method method) {
  switch (method) {
    case Method::full:
      return "full";
    case Method::bitmap:
      return "bitmap";
    case Method::above:
      return "above";
    case Method::digest:
      return "digest";
  }
  return "full";
}

Choice choose_method(const model::Ground& ground, const std::vector<model::CheckpointName>& checkpoints,
                     const std::vector<model::Disk>& disks) {
  if (!ground.parent) return {Method::full, std::nullopt, why_full(ground, checkpoints)};
  const model::PointInfo& parent = *ground.parent;
  if (ground.found) return {Method::digest, std::nullopt, ground.damage};
  if (const std::string change = what_changed(parent, disks); !change.empty())
    return {Method::digest, std::nullopt, both(ground.damage, change)};
  const auto covers = std::ranges::find(checkpoints, parent.checkpoint, &model::CheckpointName::get);
  if (!parent.checkpoint.empty() && covers != checkpoints.end()) return {Method::bitmap, *covers, ground.damage};
  std::string why = fmt::format("the primary has no checkpoint that covers point {}", parent.number.value);
  if (const auto* name = made_after(checkpoints, parent.number); name != nullptr && ground.damage.empty())
    why += fmt::format(", and {} is of a newer one, which is not on the shadow's host", name->get());
  return {Method::digest, std::nullopt, both(ground.damage, why)};
}

std::string exchanged_since(Hypervisor& primary, const model::Domain& domain, const model::CheckpointName& checkpoint) {
  for (const auto& [name, file] : primary.checkpoint_files(domain.name, checkpoint)) {
    const auto now = std::ranges::find_if(domain.disks, [&](const auto& disk) { return model::stands_on(disk, file); });
    const auto own = std::ranges::find(domain.disks, name, &model::Disk::name);
    if (now == domain.disks.end() || own == domain.disks.end() || model::stands_on(*own, file)) continue;
    return fmt::format("disk {} now stands on {}, which was disk {} when checkpoint {} was made", now->name.get(), file,
                       name.get(), checkpoint.get());
  }
  return {};
}

std::vector<model::CheckpointName> usable_checkpoints(Hypervisor& primary, const model::Domain& domain) {
  std::vector<model::CheckpointName> checkpoints = primary.checkpoints(domain.name);
  std::erase_if(checkpoints,
                [&](const auto& name) { return point_of(name) && !exchanged_since(primary, domain, name).empty(); });
  return checkpoints;
}

Choice choose_frozen(const model::Ground& ground, const FrozenPoint& frozen) {
  Choice choice = choose_method(ground, frozen.checkpoints, frozen.disks);
  if (choice.method == Method::full || ground.found) return choice;
  const bool exact = choice.since && point_of(*choice.since) == ground.parent->number;
  const bool stands = !frozen.disks.empty() && std::ranges::all_of(frozen.disks, [&](const model::Disk& disk) {
    return frozen.stands_on.contains(disk.name) && find_part(ground.parent->parts, disk.name) != nullptr;
  });
  if (stands && !exact) return {Method::above, std::nullopt, ground.damage};
  return choice;
}

std::map<model::DiskName, std::string> layers_below(const std::vector<model::PointInfo>& own,
                                                    const model::PointInfo& newest,
                                                    const std::vector<model::Disk>& disks) {
  const auto same = std::ranges::find_if(own, [&](const model::PointInfo& point) { return point.root == newest.root; });
  if (same == own.end()) return {};
  std::map<model::DiskName, std::string> layers;
  for (const model::Disk& disk : disks) {
    const model::Part* part = find_part(same->parts, disk.name);
    if (part == nullptr) return {};
    const std::string& layer = same->layers.at(static_cast<std::size_t>(part - same->parts.data()));
    if (std::ranges::find(disk.chain, layer) == disk.chain.end()) return {};
    layers[disk.name] = layer;
  }
  return layers;
}

SentPoint send_point(const Context& context, PointStore& far, const model::Ground& ground, model::PointHeader header,
                     std::vector<PartSource> parts, const SendOptions& options,
                     const std::function<void()>& before_commit) {
  const std::optional<model::PointInfo>& parent = ground.parent;
  header.number = ground.last.next();
  header.parent = parent ? parent->number : model::PointNumber{};
  header.parent_root = parent ? parent->root : base::Digest{};
  if (parent && header.checkpoint.empty()) header.checkpoint = parent->checkpoint;

  // Where the changes of a part are not told, the parent's digests tell what differs.
  bool ask_digests = false;
  header.parts.clear();
  for (PartSource& part : parts) {
    const model::Part now{part.name, part.source->size()};
    const model::Part* before = parent ? find_part(parent->parts, part.name) : nullptr;
    if (!part.source->tracks_changes() || before == nullptr || before->size != now.size || ground.found)
      part.look = Look::all;
    ask_digests = ask_digests || (before != nullptr && part.look == Look::all);
    header.parts.push_back(now);
  }
  std::optional<model::Manifest> manifest = ground.found;
  if (ask_digests && !manifest) manifest = checked_manifest(far, header, *parent);

  const auto lap = [&](const char* name) {
    if (options.stopwatch != nullptr) options.stopwatch->lap(name);
  };
  SentPoint result;
  header.resume = options.resume;
  const std::unique_ptr<BlockSink> sink = far.begin(header);
  lap("prepare");
  ChangeDigest changes;
  Pace pace(
      context.clock, context.cancel, options.limit ? options.limit : [] { return std::optional<model::ByteRate>(); });
  std::vector<KeptBlocks> kept = sink->kept();
  kept.resize(parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const CopyJob job{i, parent_of(parent, manifest, parts[i].name), parts[i].look, std::move(kept[i])};
    result.counts += base::with_context(fmt::format("sending {}", parts[i].name.get()), [&] {
      return send_part(*parts[i].source, *sink, changes, job, pace, context.cancel, [&](const CopyProgress& p) {
        if (context.progress) context.progress({header.vm, parts[i].name, p.done, p.total, p.told, p.sent});
      });
    });
  }
  parts.clear();  // closes the connections, so that a job under them can end
  if (before_commit) before_commit();
  lap("copy");
  result.info = sink->commit(changes.finish());
  result.committed_at = context.clock.now();
  result.sent = sink->sent();
  lap("commit");
  return result;
}

void Stopwatch::lap(const std::string& name) {
  const base::Millis now = m_clock.steady();
  const auto ms = static_cast<double>((now - m_last).count());
  m_last = now;
  const auto known = std::ranges::find(m_phases, name, &model::Phase::name);
  if (known == m_phases.end())
    m_phases.push_back({name, ms});
  else
    known->ms += ms;
}

void require_equal(PointStore& far, const model::ShadowId& shadow, const model::VmName& vm, model::PointNumber point) {
  for (const Verify what : {Verify::unread, Verify::sample}) {
    const model::VerifyReport report = far.verify(shadow, point, what);
    if (report.sound()) continue;
    throw Error(
        Kind::corrupt,
        fmt::format("what was read back of point {} is not what was written: {}", point.value, model::first_of(report)),
        "check that host's storage; the next pass repairs the shadow: " + next_pass(shadow, vm));
  }
}

model::Replica replica_of(const Context& context, const SentPoint& sent, base::Millis began) {
  model::Replica replica;
  replica.point = sent.info.number;
  replica.root = sent.info.root;
  replica.taken_at = sent.info.taken_at;
  replica.lag_s = base::Seconds(context.clock.now() - sent.info.taken_at).count();
  const CopyCounts& counts = sent.counts;
  replica.dirty = counts.looked;
  replica.data = counts.data;
  replica.zero = counts.zero;
  replica.resumed = counts.resumed;
  replica.skipped = {counts.looked.value - counts.data.value - counts.zero.value - counts.resumed.value};
  replica.sent = sent.sent;
  replica.quiesced = sent.quiesced;
  replica.verified = true;
  replica.method = to_string(sent.choice.method);
  replica.why = sent.choice.why;
  replica.duration_s = base::Seconds(context.clock.steady() - began).count();
  return replica;
}

SentPoint send_frozen(const Context& context, PointStore& far, const model::Ground& ground, const FrozenPoint& frozen,
                      std::optional<model::ByteRate> bandwidth) {
  Choice choice = choose_frozen(ground, frozen);
  std::vector<PartSource> parts;
  try {
    parts = open_disks(context.transport, frozen, choice);
  } catch (const Error& e) {
    if (choice.method != Method::bitmap || !bitmap_unusable(e)) throw;
    const std::string why = fmt::format("the bitmap {} can't be used: {}", choice.since->get(), e.message());
    choice = {Method::digest, std::nullopt, both(ground.damage, why)};
    parts = open_disks(context.transport, frozen, choice);
  }
  if (frozen.memory_file) {
    FileExport memory;
    memory.path = *frozen.memory_file;
    memory.format = "raw";
    parts.push_back({model::memory_part, context.transport.open(frozen.host, memory), Look::all});
  }
  model::PointHeader header;
  header.shadow = frozen.shadow;
  header.vm = frozen.vm;
  header.taken_at = frozen.taken_at;
  header.activity = frozen.activity;
  SentPoint result = send_point(context, far, ground, std::move(header), std::move(parts),
                                {.limit = [bandwidth] { return bandwidth; }});
  result.choice = std::move(choice);
  return result;
}

}  // namespace umbra::ports
