// SPDX-License-Identifier: Apache-2.0
// The next point of a shadow with a disk and a memory image, as sync makes them, without a VM:
//   memory_pass IMAGES DISK MEMORY     (raw files)
#include <algorithm>
#include <cstdio>

#include "adapters/nbd/local_points.hpp"
#include "adapters/nbd/source.hpp"
#include "base/error.hpp"
#include "ports/copy.hpp"

using namespace umbra;

namespace {

const model::ShadowId shadow{"web1"};

void pass(const std::string& images, const std::string& disk, const std::string& memory) {
  nbd::LocalPoints store(images);
  const base::CancelToken cancel;
  const std::vector<std::pair<model::DiskName, std::unique_ptr<ports::BlockSource>>> sources = [&] {
    std::vector<std::pair<model::DiskName, std::unique_ptr<ports::BlockSource>>> opened;
    for (const auto& [name, file] : {std::pair(model::DiskName("vda"), disk), std::pair(model::memory_part, memory)})
      opened.emplace_back(name, nbd::open_file({.path = file, .format = "raw", .bitmap = {}, .above = {}}));
    return opened;
  }();
  model::PointHeader header;
  header.shadow = shadow;
  header.vm = model::VmName("web1");
  for (const auto& source : sources) header.parts.push_back({source.first, source.second->size()});
  store.create(shadow, header.vm, {header.parts.front()});
  const model::Ground ground = store.examine(shadow);
  header.number = ground.last.next();
  model::Manifest before;
  if (ground.parent) {
    header.parent = ground.parent->number;
    header.parent_root = ground.parent->root;
    before = ground.found ? *ground.found : store.manifest(shadow, header.parent);
  }
  const auto sink = store.begin(header);
  ports::ChangeDigest changes;
  ports::Pace pace(base::system_clock(), cancel, [] { return std::optional<model::ByteRate>(); });
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const auto known =
        std::ranges::find_if(before.parts, [&](const auto& p) { return p.part.name == sources[i].first; });
    const auto parent = known == before.parts.end() ? ports::ParentBlocks::zero() : ports::ParentBlocks::known(*known);
    ports::send_part(*sources[i].second, *sink, changes, {i, parent, ports::Look::all, {}}, pace, cancel, {});
  }
  sink->commit(changes.finish());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 4) throw base::Error(base::Kind::usage, "IMAGES DISK MEMORY");
    pass(argv[1], argv[2], argv[3]);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "memory_pass: %s\n", e.what());
    return 1;
  }
}
