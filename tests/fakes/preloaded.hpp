// SPDX-License-Identifier: Apache-2.0
#pragma once
// What programs that are preloaded (LD_PRELOAD) to stand between another one and its C library have in common.

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace umbra::preloaded {

/// Of the environment; empty where it is not set.
inline std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// The library's own function of this name.
template <class Call>
Call next(const char* name) {
  return reinterpret_cast<Call>(::dlsym(RTLD_NEXT, name));
}

/// Of the file that is open; empty where that can't be told.
inline std::string path_of(int fd) {
  char link[64];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  char path[4096];
  const ssize_t n = ::readlink(link, path, sizeof path);
  return n < 0 ? "" : std::string(path, static_cast<std::size_t>(n));
}

}  // namespace umbra::preloaded
