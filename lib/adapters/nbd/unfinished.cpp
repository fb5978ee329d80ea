// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/unfinished.hpp"

#include <fmt/core.h>

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

}  // namespace

std::optional<ports::KeptBlocks> blocks_of_unfinished(const fs::path& layer, const model::Part& part,
                                                      const std::optional<fs::path>& backing,
                                                      const base::CancelToken* cancel) {
  try {
    if (!is_layer_over(layer, part, backing)) return std::nullopt;
    BlockReader reader(layer, part, own, cancel, MapBy::qemu);
    ports::KeptBlocks kept(part.size);
    reader.read(
        reader.looks(), [&](std::uint64_t block, const base::Digest& found) { kept.note(block, found); },
        [&](std::uint64_t first, std::uint64_t count) { kept.note_zeroes(first, count); });
    return kept;
  } catch (const base::Error& e) {
    if (e.kind() == base::Kind::cancelled) throw;
    base::log(base::Level::info, fmt::format("what a cut pass left in {} is given up: {}", layer.string(), e.what()));
    return std::nullopt;
  }
}

}  // namespace umbra::nbd
