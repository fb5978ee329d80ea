// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/verify.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <functional>

#include "adapters/nbd/manifest_file.hpp"
#include "adapters/nbd/process.hpp"
#include "adapters/nbd/sector.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;

void compare(const model::PartManifest& expected, BlockReader& reader, const ports::BlockMap& looks,
             Differences& found) {
  const std::uint64_t size = expected.part.size.value;
  const std::uint64_t shown = reader.shown();
  if (shown < size || shown >= size + sector)
    return found.add_file(expected.part, fmt::format("the size is {} bytes, not {}", shown, size));
  const auto differs = [&](std::uint64_t block, const char* how) {
    found.add(expected.part, block * model::block_size, how);
  };
  constexpr const char* other_contents = "the contents differ from the manifest";
  reader.read(
      looks,
      [&](std::uint64_t block, const base::Digest& read) {
        ++found.report.blocks_read;
        if (read == expected.blocks[block]) return;
        differs(block, read == model::unreadable_block ? "it can't be read" : other_contents);
      },
      [&](std::uint64_t first, std::uint64_t count) {
        found.report.blocks_read += count;
        const auto& blocks = expected.blocks;
        const std::uint64_t end = first + count;
        for (std::uint64_t block = blocks.next(first, end); block < end; block = blocks.next(block + 1, end))
          differs(block, other_contents);
      });
}

constexpr const char* read_anew = "; a pass that builds on the point reads what its files hold, and sends what differs";

/// The manifest, or why there is none.
std::optional<model::Manifest> manifest_of(const ShadowFolder& folder, const StoredPoint& point, Differences& found) {
  if (auto known = folder.known_manifest(point)) return known;
  model::Manifest manifest;
  for (const model::Part& part : point.info.parts) {
    const fs::path file = folder.digests_file(point.info.number, part.name);
    try {
      manifest.parts.push_back(read_manifest_file(file, part, folder.cancel()));
    } catch (const Error& e) {
      if (!is_damage(e)) throw;
      found.report.add(of_manifest(part, file, e));
    }
  }
  if (manifest.parts.size() < point.info.parts.size()) return std::nullopt;
  if (model::root_of(manifest) == point.info.root) {
    folder.note_manifest(point, manifest);
    return manifest;
  }
  const std::string dir = folder.point_dir(point.info.number).string();
  for (const model::Part& part : point.info.parts)
    found.report.add(
        {part.name, {}, fmt::format("the manifests in {} do not give the point's root{}", dir, read_anew)});
  return std::nullopt;
}

/// Runs `check` on each part; a file that does not open is a difference.
Differences each_part(
    const ShadowFolder& folder, const StoredPoint& point,
    const std::function<void(const model::PartManifest&, const fs::path& file, Differences&)>& check) {
  Differences found;
  if (!point.readable || point.is_copy)
    found.report.add({model::DiskName(std::string(point_file)), {}, point.info.damaged});
  if (!point.readable) return found;
  const std::optional<model::Manifest> manifest = manifest_of(folder, point, found);
  for (std::size_t i = 0; manifest && i < manifest->parts.size(); ++i) {
    const model::PartManifest& part = manifest->parts[i];
    try {
      check(part, point.info.layers.at(i), found);
    } catch (const Error& e) {
      if (!is_damage(e)) throw;
      found.add_file(part.part, e.message());
    }
  }
  return found;
}

/// Those of the blocks that a part of this size has.
ports::BlockMap within(const ports::BlockMap& blocks, model::ByteCount size) {
  ports::BlockMap looks(size);
  const std::uint64_t end = std::min(blocks.blocks(), looks.blocks());
  for (std::uint64_t block = 0; block < end; block = blocks.alike_until(block)) {
    if (blocks.at(block) != ports::BlockMap::State::data) continue;
    const std::uint64_t past = std::min(blocks.alike_until(block), end);
    looks.mark({block * model::block_size, (past - block) * model::block_size});
  }
  return looks;
}

/// The whole of it, as far as it shows.
void compare_all(const model::PartManifest& expected, const fs::path& file, Differences& found,
                 const base::CancelToken* cancel) {
  BlockReader reader(file, expected.part, all_of_it, cancel);
  compare(expected, reader, reader.looks(), found);
}

}  // namespace

bool is_damage(const Error& error) {
  switch (error.kind()) {
    case Kind::io:
    case Kind::not_found:
    case Kind::corrupt:
    case Kind::invalid:
    case Kind::unsupported:
      break;
    default:
      return false;
  }
  run_tool({"qemu-img", "--version"});  // where it is missing, this says so, and nothing is called damaged
  run_tool({"qemu-nbd", "--version"});
  return true;
}

void Differences::add(const model::Part& part, std::uint64_t offset, std::string what) {
  report.add({part.name, offset, std::move(what)});
  blocks.try_emplace(part.name, part.size)
      .first->second.mark_block(offset / model::block_size, ports::BlockMap::State::data);
}

void Differences::add_file(const model::Part& part, std::string what) {
  add(part, 0, std::move(what));
  if (report.places == report.mismatches.size()) report.mismatches.back().offset.reset();
}

model::Mismatch of_manifest(const model::Part& part, const fs::path& file, const Error& error) {
  const std::string what =
      error.kind() == Kind::not_found ? fmt::format("the manifest {} is gone", file.string()) : error.message();
  return {part.name, {}, what + read_anew};
}

model::VerifyReport verify_part(const model::PartManifest& expected, const fs::path& file,
                                const base::CancelToken* cancel) {
  Differences found;
  compare_all(expected, file, found, cancel);
  return found.report;
}

Differences verify_whole(const ShadowFolder& folder, const StoredPoint& point) {
  return each_part(folder, point, [&](const auto& part, const fs::path& file, Differences& found) {
    compare_all(part, file, found, folder.cancel());
  });
}

Differences verify_own(const ShadowFolder& folder, const StoredPoint& point) {
  return each_part(folder, point, [&](const auto& part, const fs::path& file, Differences& found) {
    BlockReader reader(file, part.part, own, folder.cancel(), MapBy::qemu);
    compare(part, reader, reader.looks(), found);
  });
}

Differences verify_blocks(const ShadowFolder& folder, const StoredPoint& point, const Blocks& blocks) {
  return each_part(folder, point, [&](const auto& part, const fs::path& file, Differences& found) {
    const auto wanted = blocks.find(part.part.name);
    if (wanted == blocks.end()) return;
    BlockReader reader(file, part.part, all_of_it, folder.cancel());
    compare(part, reader, within(wanted->second, part.part.size), found);
  });
}

model::VerifyReport verify_merged(const model::PartManifest& expected, const fs::path& top, std::uint32_t layers,
                                  const fs::path& merged, const base::CancelToken* cancel) {
  Differences found;
  const ports::BlockMap looks = BlockReader(top, expected.part, layers, cancel).looks();
  BlockReader reader(merged, expected.part, all_of_it, cancel);
  compare(expected, reader, looks, found);
  return found.report;
}

std::optional<model::PartManifest> read_part(const model::Part& part, const fs::path& file,
                                             const base::CancelToken* cancel) {
  try {
    BlockReader reader(file, part, all_of_it, cancel);
    model::PartManifest found{part, base::DigestList(model::blocks_in(part.size))};
    if (reader.shown() < part.size.value) return std::nullopt;
    reader.read(
        reader.looks(), [&](std::uint64_t block, const base::Digest& digest) { found.blocks.set(block, digest); },
        [](std::uint64_t, std::uint64_t) {});
    return found;
  } catch (const Error& e) {
    if (!is_damage(e)) throw;
    return std::nullopt;
  }
}

}  // namespace umbra::nbd
