// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/unfinished.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "adapters/nbd/block_reader.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;

bool is_layer_over(const fs::path& layer, const model::Part& part, const std::optional<fs::path>& backing) {
  const qemu_img::Info info = qemu_img::info(layer);
  if (info.format != "qcow2" || info.size != part.size || info.backing.empty() == backing.has_value()) return false;
  if (backing && !same_file(info.backing, *backing)) return false;
  return qemu_img::is_consistent(layer);  // a host that lost its power may have written one half of the metadata
}

/// Neighbours of zeroes become one.
std::vector<model::BlockRun> joined(std::vector<model::BlockRun> singles) {
  std::ranges::sort(singles, {}, &model::BlockRun::block);
  std::vector<model::BlockRun> runs;
  for (const model::BlockRun& one : singles) {
    const bool joins = !runs.empty() && runs.back().block + runs.back().count == one.block &&
                       one.digest == base::Digest{} && runs.back().digest == one.digest;
    if (joins)
      ++runs.back().count;
    else
      runs.push_back(one);
  }
  return runs;
}

}  // namespace

std::optional<std::vector<model::BlockRun>> blocks_of_unfinished(const fs::path& layer, const model::Part& part,
                                                                 const std::optional<fs::path>& backing) {
  try {
    if (!is_layer_over(layer, part, backing)) return std::nullopt;
    BlockReader reader(layer, part, own);
    std::vector<model::BlockRun> singles;
    reader.read(reader.looks(), [&](std::uint64_t block, const base::Digest& found) {
      singles.push_back({block, 1, found});
    });
    return joined(std::move(singles));
  } catch (const base::Error& e) {
    base::log(base::Level::info, fmt::format("what a cut pass left in {} is given up: {}", layer.string(), e.what()));
    return std::nullopt;
  }
}

}  // namespace umbra::nbd
