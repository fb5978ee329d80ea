// SPDX-License-Identifier: Apache-2.0
#pragma once
// The far end's side of reading a file as a disk: a read-only qemu-nbd child, its bytes carried over two descriptors.
// The reader opens it with open_command and dirty_context_of (source.hpp).

#include "ports/transport.hpp"

namespace umbra::nbd {

/// Serves `file` to the one client behind the descriptors until either side ends; the exit status for the process.
/// Nothing is left behind however it ends: the socket has no name in the file system by the time the child runs, and the
/// child ends with its only connection, even where this process is killed.
/// Kind::not_found where a file or bitmap is absent, Kind::invalid where `above` is not in the file's chain,
/// Kind::cancelled where a signal was caught.
int serve_file(const ports::FileExport& file, int in_fd, int out_fd);

}  // namespace umbra::nbd
