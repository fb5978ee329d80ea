// SPDX-License-Identifier: Apache-2.0
// Preloaded into QEMU: while a file FILE.hold stands beside a disk's FILE, syncs of that disk wait; FILE.held tells that
// one does.

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "fakes/preloaded.hpp"

using umbra::preloaded::next;

extern "C" int fdatasync(int fd) {
  const std::string file = umbra::preloaded::path_of(fd);
  const std::string hold = file + ".hold";
  while (::access(hold.c_str(), F_OK) == 0) {
    ::close(::open((file + ".held").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ::usleep(1000);
  }
  return next<int (*)(int)>("fdatasync")(fd);
}
