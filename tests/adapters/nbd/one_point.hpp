// SPDX-License-Identifier: Apache-2.0
#pragma once
// A store with one point, and passes that are cut.

#include "images.hpp"

namespace umbra::test {

inline constexpr std::uint64_t one_point_size = 8u << 20;

/// A store with one point of blocks 0 to 3 filled with 1.
struct OnePoint {
  Scratch scratch;
  nbd::LocalPoints store{scratch / "images"};
  fs::path folder = scratch / "images/umbra/web1";
  std::string source = make_image(scratch / "source.qcow2", "8M");
  OnePoint() {
    make_shadow(store, one_point_size);
    guest(source, "write -P 1 0 256k");
    pass(store, {source, "qcow2", {}, {}});
  }
};

/// Sends `file` as the store's next point, but is cut where `blocks` of it were told.
inline void cut_pass(ports::PointStore& store, const ports::FileExport& file, std::size_t blocks) {
  const auto source = open_export(file);
  model::PointHeader header = next_header(store);
  header.parts = {{vda, source->size()}};
  header.resume = true;
  const auto sink = store.begin(header);
  std::vector<std::byte> data(block);
  for (std::size_t b = 0; b < blocks; ++b) {
    source->read(std::vector<ports::Range>{{b * block, block}},
                 [&](const ports::Range&, std::span<const std::byte> read) { data.assign(read.begin(), read.end()); });
    sink->data(0, b, base::sha256(data), data);
  }
}

}  // namespace umbra::test
