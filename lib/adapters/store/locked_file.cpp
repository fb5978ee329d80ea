// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/locked_file.hpp"

#include <fmt/core.h>
#include <sys/file.h>

#include <cerrno>

#include "base/digest.hpp"
#include "base/error.hpp"

namespace umbra::store {

bool try_lock(int fd, int kind, const std::filesystem::path& path) {
  while (::flock(fd, kind | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) return false;
    throw base::from_errno(errno, fmt::format("lock {}", path.string()));
  }
  return true;
}

std::string file_name_of(const std::string& name) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  constexpr std::size_t longest = 200;  // file systems take 255 bytes
  std::string file;
  for (const char c : name) {
    const bool itself = plain.find(c) != std::string_view::npos && !(c == '.' && file.empty());
    file += itself ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  if (file.size() <= longest) return file;
  // No shorter name has a '%' that is no byte's, so the digest can't meet another name's.
  const std::string digest = base::sha256(std::as_bytes(std::span(name.data(), name.size()))).to_string();
  return file.substr(0, 100) + "%-" + digest.substr(digest.find(':') + 1);
}

}  // namespace umbra::store
