// SPDX-License-Identifier: Apache-2.0
#pragma once
// Writes one part of a point: a disk's qcow2 layer, or the raw memory image.

#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "model/ids.hpp"

namespace umbra::nbd {

class PartWriter {
 public:
  virtual ~PartWriter() = default;
  /// May return before the data are written; a failure then comes from a later call, finish() at the latest.
  virtual void write(std::uint64_t offset, std::span<const std::byte> data) = 0;
  virtual void zero(std::uint64_t offset, std::uint64_t length) = 0;
  /// Of the part as the parent left it; only before the first write.
  virtual void read(std::uint64_t offset, std::span<std::byte> buffer) = 0;
  /// What was told so far is in the file when this returns, though perhaps not on stable storage.
  virtual void drain() = 0;
  /// Everything is on stable storage when this returns, and the file is closed.
  virtual void finish() = 0;
};

/// Opens an existing qcow2 layer: one that holds nothing yet is written directly, any other through qemu-nbd.
std::unique_ptr<PartWriter> open_layer(const std::filesystem::path& layer);
/// A new layer that holds nothing yet, written by this process. Blocks must come in rising order, each once. Null where
/// the file is anything else.
std::unique_ptr<PartWriter> open_fresh_layer(const std::filesystem::path& layer);
/// Makes a raw file of `size` that begins as a copy of `parent` (sharing its blocks where the file system can), or
/// zeroes.
std::unique_ptr<PartWriter> make_memory(const std::filesystem::path& path, model::ByteCount size,
                                        const std::optional<std::filesystem::path>& parent);

}  // namespace umbra::nbd
