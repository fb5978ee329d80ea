// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/unfinished.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "adapters/nbd/layer.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using model::block_size;
using ports::Extent;
using ports::Range;

constexpr std::size_t blocks_per_range = 16;

bool is_layer_over(const fs::path& layer, const model::Part& part, const std::optional<fs::path>& backing) {
  const qemu_img::Info info = qemu_img::info(layer);
  if (info.format != "qcow2" || info.size != part.size || info.backing.empty() == backing.has_value()) return false;
  if (backing && !same_file(info.backing, *backing)) return false;
  return qemu_img::is_consistent(layer);  // a host that lost its power may have written one half of the metadata
}

/// Which blocks the layer holds, a part of one included.
std::vector<bool> held(NbdSource& source, std::uint64_t blocks) {
  std::vector<bool> is_held(blocks);
  source.each_extent([&](const Extent& e) {
    if (!e.changed || e.length == 0) return;
    const std::uint64_t last = std::min((e.offset + e.length - 1) / block_size, blocks - 1);
    for (std::uint64_t block = e.offset / block_size; block <= last; ++block) is_held[block] = true;
  });
  return is_held;
}

std::vector<Range> ranges_of(const std::vector<bool>& is_held, std::uint64_t size) {
  std::vector<Range> ranges;
  for (std::uint64_t block = 0; block < is_held.size(); ++block) {
    if (!is_held[block]) continue;
    const std::uint64_t offset = block * block_size;
    const bool joins = !ranges.empty() && ranges.back().offset + ranges.back().length == offset &&
                       ranges.back().length < blocks_per_range * block_size;
    if (!joins) ranges.push_back({offset, 0});
    ranges.back().length += std::min(block_size, size - offset);
  }
  return ranges;
}

void add(std::vector<model::BlockRun>& runs, std::uint64_t block, const base::Digest& digest) {
  const bool joins = !runs.empty() && runs.back().block + runs.back().count == block && digest == base::Digest{} &&
                     runs.back().digest == digest;
  if (joins)
    ++runs.back().count;
  else
    runs.push_back({block, 1, digest});
}

}  // namespace

std::optional<std::vector<model::BlockRun>> blocks_of_unfinished(const fs::path& layer, const model::Part& part,
                                                                 const std::optional<fs::path>& backing) {
  try {
    if (!is_layer_over(layer, part, backing)) return std::nullopt;
    Layer open(layer, part, own_layer);
    std::vector<model::BlockRun> runs;
    const std::vector<Range> ranges =
        ranges_of(held(open.source(), model::blocks_in(part.size)), part.size.value);
    open.source().read(ranges, [&](const Range& range, std::span<const std::byte> data) {
      for (std::uint64_t at = 0; at < range.length; at += block_size) {
        const auto block = data.subspan(at, std::min(block_size, range.length - at));
        add(runs, (range.offset + at) / block_size, base::all_zero(block) ? base::Digest{} : base::sha256(block));
      }
    });
    return runs;
  } catch (const base::Error& e) {
    base::log(base::Level::info, fmt::format("what a cut pass left in {} is given up: {}", layer.string(), e.what()));
    return std::nullopt;
  }
}

}  // namespace umbra::nbd
