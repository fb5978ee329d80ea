// SPDX-License-Identifier: Apache-2.0
#pragma once
// A qcow2 of this host, read without a server: a map tells where in which file of the chain each piece lies, and the
// data are read from there by this process, from the disk and past the kernel's cache where the file system allows it.

#include <filesystem>
#include <memory>

#include "ports/block_source.hpp"

namespace umbra::nbd {

/// Whose word it is where the pieces lie: QEMU's, or that of the tables as this process reads them (of a plain chain;
/// else QEMU's). A layer that was written here is looked at by QEMU before anything is built on it; after that the
/// tables do, which cost no process.
enum class MapBy : char { qemu, tables };

/// With a `depth` the source tells as changed what the first `depth` files of the chain hold; 0: all. Null where it
/// can't be read so, as with compressed clusters, metadata that are damaged, or a file that another process writes:
/// a server reads it then, or says why not. The files must not change meanwhile.
std::unique_ptr<ports::BlockSource> open_mapped(const std::filesystem::path& image, std::uint32_t depth, MapBy by);

/// What the kernel holds of a file that was written to the disk goes, so that a reader sees the disk.
void drop_cache(const std::filesystem::path& file);

}  // namespace umbra::nbd
