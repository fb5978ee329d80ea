// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads a disk: through NBD (a backup job's export, the far end's `--export`), or a file of this host. Several requests
// are in flight at a time; memory stays bounded whatever the disk's size.
//
// `dirty_context` says where `changed` of the extents comes from:
//   ""                        nothing: every extent is `changed`, tracks_changes() is false
//   "qemu:dirty-bitmap:NAME"  the bitmap that the server exports under that name
//   "qemu:allocation-depth"   the layers above one file of the chain; which depth that file has is known where the
//                             files are, so serve_file (export.hpp) tells it in the export's description

#include <memory>
#include <string>

#include "base/process.hpp"
#include "ports/block_source.hpp"
#include "ports/transport.hpp"

namespace umbra::nbd {

/// "nbd://host:port/name", "nbd+unix:///name?socket=PATH". Kind::unreachable where nothing answers there,
/// Kind::unsupported where the export does not offer `dirty_context`.
std::unique_ptr<ports::BlockSource> open_uri(const std::string& uri, const std::string& dirty_context);

/// Starts `argv`, which speaks NBD on its standard input and output. It is ended with the source.
std::unique_ptr<ports::BlockSource> open_command(const base::Argv& argv, const std::string& dirty_context);

/// A file of this host, without another Umbra between: a raw one is read by this process, any other through qemu-nbd.
/// Errors as of ports::Transport. Kind::busy where a QEMU writes it.
std::unique_ptr<ports::BlockSource> open_file(const ports::FileExport& file);
/// A raw file or block device of this host, its holes told as zeroes.
std::unique_ptr<ports::BlockSource> open_raw(const std::string& path);

/// The context in which serve_file of `file` tells its changes; empty where it tells none.
std::string dirty_context_of(const ports::FileExport& file);

}  // namespace umbra::nbd
