// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside this folder only.

#include <filesystem>

namespace umbra::store {

/// Makes the folder, and its parents, where it is absent; only its owner may look into the folder itself, since hosts'
/// addresses and records are in it. An existing folder is left as it is.
void make_private_dir(const std::filesystem::path& dir);

}  // namespace umbra::store
