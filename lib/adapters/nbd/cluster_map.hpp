// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside this folder only: where in which file of its chain each piece of a qcow2's disk lies.

#include <filesystem>
#include <memory>

#include "model/ids.hpp"

namespace umbra::nbd {

/// A stretch of the disk: zeroes, or bytes of the chain's nth file from `place` on.
struct Stretch {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t place = 0;
  std::uint32_t file = 0;
  bool zero = false;
  bool changed = false;    ///< what the first files of the chain hold, as many as were asked for
  bool is_packed = false;  ///< the bytes are there in another form: not read here
  std::uint64_t end() const { return offset + length; }
};

class ClusterMap {
 public:
  virtual ~ClusterMap() = default;
  virtual model::ByteCount size() const = 0;
  /// What lies at `offset`, below the size: a stretch that holds it, and may begin before it. Kind::io where the
  /// metadata can't be followed.
  virtual Stretch at(std::uint64_t offset) = 0;
  /// Of the chain's nth file.
  virtual const std::filesystem::path& file(std::uint32_t nth) const = 0;
};

/// As qemu-img tells it, whatever QEMU can read. With a `depth` what the first `depth` files hold is changed; 0: all.
/// Null where it can't be told.
std::unique_ptr<ClusterMap> map_told_by_qemu(const std::filesystem::path& image, std::uint32_t depth);

/// As the tables of the files say, looked up where it is asked for. Null where the chain is not plain
/// (qcow2_file.hpp), or another process may write to one of its files.
std::unique_ptr<ClusterMap> map_of_plain_chain(const std::filesystem::path& image, std::uint32_t depth);

}  // namespace umbra::nbd
