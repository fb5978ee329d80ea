// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/state_dir.hpp"

#include <fmt/core.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::store {

void make_private_dir(const std::filesystem::path& dir) {
  std::filesystem::path whole = std::filesystem::absolute(dir).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  std::error_code ignored;  // whatever is wrong with a parent, mkdir tells it
  std::filesystem::create_directories(whole.parent_path(), ignored);
  if (::mkdir(whole.c_str(), 0700) == 0) {
    base::sync_dir(whole.parent_path());
    return;
  }
  const int error = errno;
  if (error == EEXIST && std::filesystem::is_directory(whole, ignored)) return;
  throw base::from_errno(error, fmt::format("make the state folder {}", dir.string()))
      .set_hint("run it as root, or choose a folder of your own with --state DIR");
}

}  // namespace umbra::store
