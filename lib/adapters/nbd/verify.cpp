// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/verify.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <functional>

#include "adapters/nbd/manifest_file.hpp"
#include "adapters/nbd/process.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/sector.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;

constexpr std::size_t most_mismatches = 1000;

void add(model::VerifyReport& report, const model::DiskName& disk, std::uint64_t offset, std::string what) {
  if (report.mismatches.size() < most_mismatches) report.mismatches.push_back({disk, offset, std::move(what)});
}

void compare(const model::PartManifest& expected, BlockReader& reader, const ports::BlockMap& looks,
             model::VerifyReport& report) {
  const std::uint64_t size = expected.part.size.value;
  const std::uint64_t shown = reader.shown();
  if (shown < size || shown >= size + sector)
    return add(report, expected.part.name, 0, fmt::format("the size is {} bytes, not {}", shown, size));
  const auto differs = [&](std::uint64_t block, const char* how) {
    add(report, expected.part.name, block * model::block_size, how);
  };
  constexpr const char* other_contents = "the contents differ from the manifest";
  reader.read(
      looks,
      [&](std::uint64_t block, const base::Digest& found) {
        ++report.blocks_read;
        if (found == expected.blocks[block]) return;
        differs(block, found == model::unreadable_block ? "it can't be read" : other_contents);
      },
      [&](std::uint64_t first, std::uint64_t count) {
        report.blocks_read += count;
        const auto& blocks = expected.blocks;
        const std::uint64_t end = first + count;
        for (std::uint64_t block = blocks.next(first, end); block < end; block = blocks.next(block + 1, end))
          differs(block, other_contents);
      });
}

/// The manifest, or why there is none.
std::optional<model::Manifest> manifest_of(const ShadowFolder& folder, const StoredPoint& point,
                                           model::VerifyReport& report) {
  model::Manifest manifest;
  for (const model::Part& part : point.info.parts) {
    try {
      manifest.parts.push_back(
          read_manifest_file(folder.digests_file(point.info.number, part.name), part, folder.cancel()));
    } catch (const Error& e) {
      if (!is_damage(e)) throw;
      add(report, part.name, 0, e.message());
    }
  }
  if (manifest.parts.size() < point.info.parts.size()) return std::nullopt;
  if (model::root_of(manifest) == point.info.root) return manifest;
  for (const model::Part& part : point.info.parts)
    add(report, part.name, 0, "the manifests do not give the point's root");
  return std::nullopt;
}

/// Runs `check` on each part; a file that does not open is a difference.
model::VerifyReport each_part(
    const ShadowFolder& folder, const StoredPoint& point,
    const std::function<void(const model::PartManifest&, const fs::path& file, model::VerifyReport&)>& check) {
  model::VerifyReport report;
  if (!point.readable || point.is_copy) add(report, model::DiskName(std::string(point_file)), 0, point.info.damaged);
  if (!point.readable) return report;
  const std::optional<model::Manifest> manifest = manifest_of(folder, point, report);
  for (std::size_t i = 0; manifest && i < manifest->parts.size(); ++i) {
    const model::PartManifest& part = manifest->parts[i];
    try {
      check(part, point.info.layers.at(i), report);
    } catch (const Error& e) {
      if (!is_damage(e)) throw;
      add(report, part.part.name, 0, e.message());
    }
  }
  return report;
}

void drop_caches(const model::Part& part, const fs::path& file) {
  if (part.is_memory()) return drop_cache(file);
  for (const qemu_img::Info& below : qemu_img::chain(file)) drop_cache(below.file);
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

void verify_part(const model::PartManifest& expected, const fs::path& file, model::VerifyReport& report,
                 const base::CancelToken* cancel) {
  drop_caches(expected.part, file);
  BlockReader reader(file, expected.part, all_of_it, cancel);
  compare(expected, reader, reader.looks(), report);
}

model::VerifyReport verify_whole(const ShadowFolder& folder, const StoredPoint& point) {
  return each_part(folder, point, [&](const auto& part, const fs::path& file, auto& report) {
    verify_part(part, file, report, folder.cancel());
  });
}

model::VerifyReport verify_own(const ShadowFolder& folder, const StoredPoint& point) {
  return each_part(folder, point, [&](const auto& part, const fs::path& file, auto& report) {
    drop_cache(file);
    BlockReader reader(file, part.part, own, folder.cancel());
    compare(part, reader, reader.looks(), report);
  });
}

model::VerifyReport verify_blocks(const ShadowFolder& folder, const StoredPoint& point, const Blocks& blocks) {
  return each_part(folder, point, [&](const auto& part, const fs::path& file, auto& report) {
    const auto wanted = blocks.find(part.part.name);
    if (wanted == blocks.end()) return;
    ports::BlockMap looks(part.part.size);
    for (const std::uint64_t block : wanted->second) {
      if (block < looks.blocks()) looks.mark_block(block, ports::BlockMap::State::data);
    }
    drop_caches(part.part, file);
    BlockReader reader(file, part.part, all_of_it, folder.cancel());
    compare(part, reader, looks, report);
  });
}

model::VerifyReport verify_merged(const model::PartManifest& expected, const fs::path& top, std::uint32_t layers,
                                  const fs::path& merged, const base::CancelToken* cancel) {
  model::VerifyReport report;
  const ports::BlockMap looks = BlockReader(top, expected.part, layers, cancel).looks();
  drop_cache(merged);
  BlockReader reader(merged, expected.part, all_of_it, cancel);
  compare(expected, reader, looks, report);
  return report;
}

std::optional<model::PartManifest> read_part(const model::Part& part, const fs::path& file,
                                             const base::CancelToken* cancel) {
  try {
    drop_caches(part, file);
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
