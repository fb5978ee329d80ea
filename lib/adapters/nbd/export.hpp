// SPDX-License-Identifier: Apache-2.0
#pragma once
// The far end's side of reading a file as a disk: a read-only qemu-nbd child, its bytes carried over two descriptors.
// The reader opens it with open_command and dirty_context_of (source.hpp).

#include "base/cancel.hpp"
#include "ports/transport.hpp"

namespace umbra::nbd {

/// Serves `file` to the one client behind the descriptors until either side ends; the exit status for the process.
/// Nothing is left behind however it ends: the socket has no name in the file system by the time the child runs, and
/// the child ends with its only connection, even where this process is killed. Kind::not_found where the file is
/// absent, Kind::cancelled soon after `cancel` was asked for. A bitmap that is absent (Kind::not_found) or inconsistent
/// (Kind::corrupt), and an `above` that is not in the chain (Kind::invalid), are told to the reader: opening the source
/// throws them there.
int serve_file(const ports::FileExport& file, int in_fd, int out_fd, const base::CancelToken& cancel);

}  // namespace umbra::nbd
