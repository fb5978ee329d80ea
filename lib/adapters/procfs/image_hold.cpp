// SPDX-License-Identifier: Apache-2.0
#include "adapters/procfs/image_hold.hpp"

#include <fcntl.h>
#include <fmt/core.h>

#include <cerrno>
#include <optional>

#include "base/error.hpp"

namespace umbra::procfs {
namespace {

// QEMU's bit numbers of what is done with an image, from the first byte of "done" or "not shared" on.
constexpr off_t done = 100;
constexpr off_t not_shared = 200;
constexpr off_t writing = 1;
constexpr off_t resizing = 3;

struct flock lock_of(off_t at, short type) {
  struct flock byte {};
  byte.l_type = type;
  byte.l_whence = SEEK_SET;
  byte.l_start = at;
  byte.l_len = 1;
  return byte;
}

base::UniqueFd opened(const std::string& image) {
  base::UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw base::from_errno(errno, fmt::format("open {}", image));
  return fd;
}

base::UniqueFd held(const std::string& image) {
  base::UniqueFd fd = opened(image);
  for (const off_t what : {writing, resizing}) {
    struct flock byte = lock_of(not_shared + what, F_RDLCK);
    if (::fcntl(fd.get(), F_OFD_SETLK, &byte) != 0) throw base::from_errno(errno, fmt::format("lock {}", image));
  }
  return fd;
}

}  // namespace

bool is_written_to(const std::string& image) {
  const base::UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return false;
  struct flock byte = lock_of(done + writing, F_WRLCK);  // who asks alone needs no right to write
  return ::fcntl(fd.get(), F_OFD_GETLK, &byte) == 0 && byte.l_type != F_UNLCK;
}

ImageHold::ImageHold(const std::vector<std::string>& images) {
  std::optional<base::Error> failure;
  for (const std::string& image : images) {
    try {
      m_images.push_back(held(image));
    } catch (const base::Error& e) {
      failure = e;
    }
  }
  if (m_images.empty() && failure) throw base::Error(*failure);
}

}  // namespace umbra::procfs
