// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside this folder only: files that a process locks to be known to others.

#include <filesystem>
#include <string>

namespace umbra::store {

/// Whether the lock was free, and is ours now. `kind` is LOCK_EX or LOCK_SH.
bool try_lock(int fd, int kind, const std::filesystem::path& path);

/// Letters, digits, '.', '_' and '-' stand for themselves, other bytes as %XX, so that two names never share a file.
std::string file_name_of(const std::string& name);

}  // namespace umbra::store
