// SPDX-License-Identifier: Apache-2.0
#pragma once
// Blocks of a point's file as a guest would read them, digest by digest, read from the disk as far as the kernel lets
// its cache go. What can't be read is told block by block:
// damaged qcow2 metadata end one server, and the next one goes on behind them.

#include <filesystem>
#include <functional>
#include <memory>
#include <span>

#include "adapters/nbd/mapped_source.hpp"
#include "base/cancel.hpp"
#include "model/points.hpp"
#include "ports/block_map.hpp"

namespace umbra::nbd {

/// How many files of a chain are looked at, the first included; 0 for all that the chain shows.
using Depth = std::uint32_t;
inline constexpr Depth all_of_it = 0;
inline constexpr Depth own = 1;

class BlockReader {
 public:
  using Each = std::function<void(std::uint64_t block, const base::Digest& found)>;

  /// Opens the file: throws where it does not open. A memory image is one file, whatever the depth.
  /// Reading ends by Kind::cancelled once `cancel` is asked for, which may be null.
  BlockReader(std::filesystem::path file, model::Part part, Depth depth, const base::CancelToken* cancel,
              MapBy by = MapBy::tables);
  ~BlockReader();

  /// The blocks that the first `depth` files hold; all, to be read, where the extents can't be told.
  ports::BlockMap looks();
  /// Hands over the digest of each block that is looked at, unreadable_block for one that can't be read; what is known
  /// to be zero first, as runs.
  void read(const ports::BlockMap& looks, const Each& each,
            const std::function<void(std::uint64_t first, std::uint64_t count)>& zeroes);
  /// Bytes that the file shows; qemu-nbd shows a raw file in whole sectors.
  std::uint64_t shown();

 private:
  class Server;
  Server& server();
  void give_up_server();
  void look_at_cancel() const;
  void read_ranges(std::span<const ports::Range> ranges, const Each& each);
  void read_singly(const ports::Range& range, const Each& each);

  std::filesystem::path m_file;
  model::Part m_part;
  Depth m_depth;
  MapBy m_by;
  const base::CancelToken* m_cancel;
  std::unique_ptr<Server> m_server;
  bool m_directly = true;  ///< until something could not be read so
  unsigned m_failures = 0;
};

}  // namespace umbra::nbd
