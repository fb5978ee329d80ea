// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/point_writer.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "adapters/nbd/descriptions.hpp"
#include "adapters/nbd/examine.hpp"
#include "adapters/nbd/manifest_file.hpp"
#include "adapters/nbd/part_writer.hpp"
#include "adapters/nbd/qcow2_file.hpp"
#include "adapters/nbd/sector.hpp"
#include "adapters/nbd/unfinished.hpp"
#include "base/error.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using model::block_size;

/// What is to be built on where the header names it: the newest sound point, or a damaged one as it was found.
std::optional<Found> parent_in(const ShadowFolder& folder, const StoredPoint& point) {
  if (point.info.sound()) return Found{point, folder.manifest(point)};
  return read_found(folder, point);
}

/// The parent that the header names, where it does.
std::optional<Found> check_parent(const ShadowFolder& folder, const model::PointHeader& header) {
  const model::PointNumber last = folder.last_number();
  std::vector<StoredPoint> points = folder.points();
  while (!points.empty() && points.back().info.number > header.parent && !points.back().info.sound()) points.pop_back();
  const std::string hint = "run the pass again: it looks first what there is";
  if (header.number <= last || header.number.value == 0)
    throw Error(
        Kind::refused,
        fmt::format("point {} can't follow point {} of shadow {}", header.number.value, last.value, folder.id().get()),
        hint);
  if (header.parent.value == 0) return std::nullopt;
  if (points.empty() || points.back().info.number != header.parent)
    throw Error(Kind::refused,
                fmt::format("the parent, point {}, is not the newest sound one of shadow {}", header.parent.value,
                            folder.id().get()),
                hint);
  auto parent = parent_in(folder, points.back());
  if (!parent)
    throw Error(Kind::corrupt,
                fmt::format("point {} of shadow {} is damaged: {}", header.parent.value, folder.id().get(),
                            points.back().info.damaged),
                hint);
  if (header.parent_root != parent->point.info.root)
    throw Error(Kind::refused,
                fmt::format("point {} of shadow {} has other contents than the sender believes", header.parent.value,
                            folder.id().get()),
                hint);
  return parent;
}

/// One part under way: its writer and the digests that the point will have.
struct OpenPart {
  model::PartManifest manifest;
  fs::path file;
  std::unique_ptr<PartWriter> writer;
  std::uint64_t next_block = 0;  ///< blocks below were told or passed by
  bool has_parent = false;
  bool is_resumed = false;  ///< the file holds blocks of an earlier pass

  std::uint64_t blocks() const { return manifest.blocks.size(); }
  std::uint64_t length_of(std::uint64_t block) const {
    return std::min(block_size, manifest.part.size.value - block * block_size);
  }
};

class PointWriter final : public ports::BlockSink {
 public:
  PointWriter(const ShadowFolder& folder, const model::PointHeader& header)
      : m_folder(folder), m_lock(folder.lock()), m_header(header), m_dir(folder.incoming_dir(header.number)) {
    settle_changed_files(folder);  // marks, so that a parent that changed meanwhile is none
    const std::optional<Found> parent = check_parent(folder, header);
    m_on_damage = parent && !parent->point.info.sound();
    folder.sweep_passes(header.resume ? m_dir : fs::path());
    fs::create_directory(m_dir);
    remove_all_but_layers();
    try {
      for (const model::Part& part : header.parts) open_part(part, parent);
    } catch (...) {
      leave();
      throw;
    }
  }

  ~PointWriter() override {
    if (!m_committed) leave();
  }

  std::vector<ports::KeptBlocks> kept() const override { return m_kept; }

  void data(std::size_t part, std::uint64_t block, const base::Digest& digest,
            std::span<const std::byte> data) override {
    act([&] {
      OpenPart& open = advance(part, block, 1);
      const std::string where = fmt::format("{} at offset {}", open.manifest.part.name.get(), block * block_size);
      if (data.size() != open.length_of(block))
        throw Error(Kind::invalid, fmt::format("a block of {} bytes came for {}", data.size(), where));
      if (base::all_zero(data)) throw Error(Kind::invalid, fmt::format("zeroes came as data for {}", where));
      open.writer->write(block * block_size, data);
      open.manifest.blocks.set(block, digest);
      m_changes.data(part, block, digest);
      m_written += {data.size()};
    });
  }

  void zero(std::size_t part, std::uint64_t first, std::uint64_t count) override {
    act([&] {
      OpenPart& open = advance(part, first, count);
      const std::uint64_t begin = first * block_size;
      // Without anything below, or from an earlier pass, what is not written is zero already.
      if ((open.has_parent || open.is_resumed) && count > 0)
        open.writer->zero(begin, std::min(count * block_size, open.manifest.part.size.value - begin));
      open.manifest.blocks.clear(first, count);
      m_changes.zero(part, first, count);
    });
  }

  model::PointInfo commit(const base::Digest& changes) override {
    if (m_broken || m_committed) throw Error(Kind::internal, "a point that failed or is committed can't be committed");
    m_broken = true;
    try {
      return base::as_error([&] { return commit_point(changes); });
    } catch (const Error& e) {
      m_is_full = e.kind() == Kind::no_space;  // much of what was told is written only now
      throw;
    }
  }

  model::ByteCount sent() const override { return m_written; }

 private:
  model::PointInfo commit_point(const base::Digest& changes) {
    if (m_changes.finish() != changes)
      throw Error(
          Kind::corrupt,
          fmt::format("the changes of point {} that came differ from those that were sent", m_header.number.value),
          "run the pass again");
    require_readable();
    StoredPoint point = describe();
    model::Manifest manifest;
    for (OpenPart& open : m_parts) {
      open.writer->finish();
      open.writer.reset();
      write_manifest_file(m_dir / (open.manifest.part.name.get() + ".digests"), open.manifest, m_folder.cancel());
      manifest.parts.push_back(std::move(open.manifest));
    }
    point.info.root = model::root_of(manifest);
    write_point_file(m_dir, m_folder, point);  // syncs the folder, and with it every name in it
    const fs::path final_dir = m_folder.point_dir(m_header.number);
    if (::rename(m_dir.c_str(), final_dir.c_str()) != 0)
      throw base::from_errno(errno, fmt::format("commit {}", final_dir.string()));
    m_committed = true;  // from here on the point is there
    base::sync_dir(m_folder.path());
    write_copy(m_folder, m_header.number);
    return read_point_file(final_dir / point_file).info;
  }

  /// Of a pass that was cut while it committed there may be more.
  void remove_all_but_layers() const {
    std::set<fs::path> layers;
    for (const model::Part& part : m_header.parts) layers.insert(layer_file(part));
    for (const auto& entry : fs::directory_iterator(m_dir)) {
      if (!layers.contains(entry.path())) fs::remove_all(entry.path());
    }
  }

  fs::path layer_file(const model::Part& part) const {
    return m_dir / (part.is_memory() ? part.name.get() : part.name.get() + ".qcow2");
  }

  void open_part(const model::Part& part, const std::optional<Found>& parent) {
    OpenPart open;
    open.manifest.part = part;
    open.file = layer_file(part);
    std::optional<fs::path> below;
    std::uint64_t old_size = 0;
    for (std::size_t i = 0; parent && i < parent->manifest.parts.size(); ++i) {
      const model::PartManifest& known = parent->manifest.parts[i];
      if (known.part.name != part.name) continue;
      below = parent->point.info.layers.at(i);
      old_size = known.part.size.value;
      open.manifest.blocks = known.blocks;
    }
    open.has_parent = below.has_value();
    open.manifest.blocks.resize(model::blocks_in(part.size));
    ports::KeptBlocks& kept = m_kept.emplace_back();
    if (part.is_memory()) {
      fs::remove(open.file);  // of a cut pass, and of another instant
      open.writer = make_memory(open.file, part.size, below);
    } else {
      const bool same_size = !below || old_size == part.size.value;
      if (same_size) kept = resume(open, below);
      if (!open.is_resumed) {
        fs::remove(open.file);
        qcow2::create(open.file, part.size, below ? std::optional(backing_name(*below)) : std::nullopt);
      }
      open.writer = open_layer(open.file);
    }
    if (below) renew_boundary(open, std::min(old_size, part.size.value), old_size);
    m_parts.push_back(std::move(open));
  }

  /// Takes over what a cut pass left of the part, where it can be built on.
  ports::KeptBlocks resume(OpenPart& open, const std::optional<fs::path>& below) const {
    if (!fs::exists(open.file)) return {};
    std::optional<ports::KeptBlocks> kept =
        blocks_of_unfinished(open.file, open.manifest.part, below, m_folder.cancel());
    if (!kept) return {};
    open.is_resumed = true;
    for (model::BlockRun run = kept->next(0); run.count > 0; run = kept->next(run.block + run.count)) {
      if (run.digest == base::Digest{})
        open.manifest.blocks.clear(run.block, run.count);
      else
        open.manifest.blocks.set(run.block, run.digest);
    }
    return *std::move(kept);
  }

  /// Relative within the shadow's folder, so that the folder can be moved as a whole.
  std::string backing_name(const fs::path& layer) const {
    return m_folder.holds(layer) ? layer.lexically_relative(m_dir) : layer;
  }

  /// Where a part changed its size within a block, that block has another length than the parent's digest is of.
  static void renew_boundary(OpenPart& open, std::uint64_t common, std::uint64_t old_size) {
    const std::uint64_t block = common / block_size;
    if (old_size == open.manifest.part.size.value || common % block_size == 0) return;
    if (open.manifest.blocks[block] == base::Digest{} || open.manifest.blocks[block] == model::unreadable_block) return;
    std::vector<std::byte> buffer(open.length_of(block));
    open.writer->read(block * block_size, buffer);
    open.manifest.blocks.set(block, base::all_zero(buffer) ? base::Digest{} : base::sha256(buffer));
  }

  /// The part, once it is sure that the blocks are in it and come after those told before.
  OpenPart& advance(std::size_t part, std::uint64_t first, std::uint64_t count) {
    if (part >= m_parts.size()) throw Error(Kind::invalid, fmt::format("there is no part {} in this point", part));
    OpenPart& open = m_parts[part];
    const std::uint64_t blocks = open.blocks();
    if (first > blocks || count > blocks - first)
      throw Error(Kind::invalid,
                  fmt::format("block {} lies past the end of {}", first + count - 1, open.manifest.part.name.get()));
    if (first < open.next_block)
      throw Error(Kind::invalid, fmt::format("block {} of {} came out of order", first, open.manifest.part.name.get()));
    open.next_block = first + count;
    return open;
  }

  /// After a failure nothing more is taken: the point can't be whole any more.
  template <class Act>
  void act(Act&& what) {
    if (m_broken) throw Error(Kind::internal, "a point that failed takes no more blocks");
    try {
      if (m_folder.cancel() != nullptr) m_folder.cancel()->check();
      base::as_error(what);
    } catch (const Error& e) {
      m_broken = true;
      m_is_full = e.kind() == Kind::no_space;
      throw;
    } catch (...) {
      m_broken = true;
      throw;
    }
  }

  /// Of a damaged parent, what can't be read must have been told anew.
  void require_readable() const {
    for (const OpenPart& open : m_parts) {
      const std::uint64_t block = m_on_damage ? open.manifest.blocks.find(model::unreadable_block) : open.blocks();
      if (block == open.blocks()) continue;
      throw Error(Kind::corrupt, fmt::format("{} at byte {} can't be read in the parent, and was not sent",
                                             open.manifest.part.name.get(), block * block_size));
    }
  }

  StoredPoint describe() const {
    StoredPoint point;
    point.vm = m_header.vm;
    point.parent = m_header.parent;
    point.activity = m_header.activity;
    point.info.number = m_header.number;
    point.info.taken_at = m_header.taken_at;
    point.info.checkpoint = m_header.checkpoint;
    point.info.parts = m_header.parts;
    for (const OpenPart& open : m_parts)
      point.info.layers.push_back(m_folder.point_dir(m_header.number) / open.file.filename());
    return point;
  }

  /// Of a point that is not committed: what the next pass may build on stays, but not on a disk that is full.
  void leave() noexcept {
    const bool holds_some = m_written.value > 0 || std::ranges::any_of(m_parts, &OpenPart::is_resumed);
    const bool stays = m_header.resume && holds_some && !m_is_full;
    if (stays) drain();
    m_parts.clear();  // ends the servers
    if (stays) return;
    std::error_code ignored;
    fs::remove_all(m_dir, ignored);  // what stays is swept by the next point
  }

  void drain() noexcept {
    for (const OpenPart& open : m_parts) {
      try {
        if (open.writer) open.writer->drain();
      } catch (const std::exception&) {
        // What is not there is sent again.
      }
    }
  }

  ShadowFolder m_folder;
  FolderLock m_lock;
  model::PointHeader m_header;
  fs::path m_dir;
  std::vector<OpenPart> m_parts;
  std::vector<ports::KeptBlocks> m_kept;
  ports::ChangeDigest m_changes;
  model::ByteCount m_written;
  bool m_on_damage = false;  ///< of the parent: some of its blocks may be unreadable
  bool m_broken = false;
  bool m_is_full = false;
  bool m_committed = false;
};

}  // namespace

void check_parts(const std::vector<model::Part>& parts) {
  if (parts.empty() || parts.size() > most_parts)
    throw Error(Kind::invalid, fmt::format("a point has 1 to {} parts, not {}", most_parts, parts.size()),
                too_many_hint);
  std::set<model::DiskName> names;
  std::uint64_t left = model::most_size;
  for (const model::Part& part : parts) {
    check_name(part.name.get(), "a part's name");
    if (!names.insert(part.name).second)
      throw Error(Kind::invalid, fmt::format("the part {} comes twice", part.name.get()));
    if (part.size.value == 0 || part.size.value > left || (!part.is_memory() && part.size.value % sector != 0))
      throw Error(Kind::invalid,
                  fmt::format("the part {} can't have a size of {} bytes", part.name.get(), part.size.value),
                  fmt::format("a disk is whole sectors of {} bytes, and all of a point are at most {} TiB", sector,
                              model::most_size >> 40));
    left -= part.size.value;
  }
}

std::unique_ptr<ports::BlockSink> begin_point(const ShadowFolder& folder, const model::PointHeader& header) {
  check_parts(header.parts);
  folder.require();
  folder.require_vm(header.vm);
  return std::make_unique<PointWriter>(folder, header);
}

}  // namespace umbra::nbd
