// SPDX-License-Identifier: Apache-2.0
// Preloaded into a program: lets one of its calls on files fail, or kills it there, and records what a loss of power
// would leave. By the environment:
//   FAULT_UNDER    calls on files below this folder count, by their order in the process
//   FAULT_PROGRAM  in processes of this name alone
//   FAULT_AT       the number of the call that is hit, from 1 on; 0 or absent: none
//   FAULT_DO       EIO, ENOSPC, SHORT (half of what was asked for) or KILL (before the call)
//   FAULT_CALLS    a file that gets the names of the calls, in order, when the process ends
//   FAULT_SYNCED   a folder: files/KEY holds what was synced of a file, dirs/KEY the names in a folder when it was
// KEY is inode and time of birth, since inodes are used again.

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "fakes/preloaded.hpp"

extern "C" char* program_invocation_short_name;

using umbra::preloaded::next;
using umbra::preloaded::path_of;
using umbra::preloaded::setting;

namespace {

struct Plan {
  std::string under = setting("FAULT_UNDER");
  bool is_meant = setting("FAULT_PROGRAM") == program_invocation_short_name;
  long at = std::atol(setting("FAULT_AT").c_str());
  std::string what = setting("FAULT_DO");
  std::string synced = setting("FAULT_SYNCED");
  std::mutex mutex;
  std::vector<const char*> calls;
  /// The call's number.
  long add(const char* name) {
    const std::lock_guard lock(mutex);
    calls.push_back(name);
    return static_cast<long>(calls.size());
  }
  ~Plan() {
    const std::string file = setting("FAULT_CALLS");
    if (!is_meant || file.empty()) return;
    if (std::FILE* out = std::fopen(file.c_str(), "w")) {
      for (const char* name : calls) std::fprintf(out, "%s\n", name);
      std::fclose(out);
    }
  }
};

Plan& plan() {
  static Plan the_plan;
  return the_plan;
}

bool counts(const std::string& path) {
  const Plan& p = plan();
  return p.is_meant && !p.under.empty() && path.compare(0, p.under.size(), p.under) == 0;
}

enum class Fate { goes_on, fails, is_short };

/// What becomes of this call; errno is set where it fails.
Fate fate_of(const char* call, const std::string& path) {
  if (!counts(path)) return Fate::goes_on;
  Plan& p = plan();
  if (p.add(call) != p.at) return Fate::goes_on;
  if (p.what == "KILL") ::kill(::getpid(), SIGKILL);
  if (p.what == "SHORT") return Fate::is_short;
  errno = p.what == "ENOSPC" ? ENOSPC : EIO;
  return Fate::fails;
}

std::string key_of(int dir, const char* name, int flags) {
  struct statx status {};
  if (::statx(dir, name, flags, STATX_INO | STATX_BTIME, &status) != 0) return "";
  return std::to_string(status.stx_ino) + "-" + std::to_string(status.stx_btime.tv_sec) + "." +
         std::to_string(status.stx_btime.tv_nsec);
}

void record_dir(int fd, const std::string& key) {
  const int again = ::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = again < 0 ? nullptr : ::fdopendir(again);
  std::FILE* out = std::fopen((plan().synced + "/dirs/" + key).c_str(), "w");
  while (const dirent* entry = dir == nullptr ? nullptr : ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (name == "." || name == ".." || out == nullptr) continue;
    struct stat status {};
    if (::fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    std::fprintf(out, "%c %s %s\n", S_ISDIR(status.st_mode) ? 'd' : 'f',
                 key_of(fd, entry->d_name, AT_SYMLINK_NOFOLLOW).c_str(), name.c_str());
  }
  if (out != nullptr) std::fclose(out);
  if (dir != nullptr) ::closedir(dir);
}

void record_file(const std::string& path, const std::string& key) {
  const int from = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const int to = ::open((plan().synced + "/files/" + key).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  struct stat status {};
  if (from >= 0 && to >= 0 && ::fstat(from, &status) == 0) {
    for (off_t at = 0; at < status.st_size;) {
      const ssize_t n = ::copy_file_range(from, nullptr, to, nullptr, static_cast<std::size_t>(status.st_size - at), 0);
      if (n <= 0) break;
      at += n;
    }
  }
  ::close(from);
  ::close(to);
}

/// What is safe from now on.
void record(int fd) {
  if (plan().synced.empty()) return;
  const std::string path = path_of(fd);
  if (path.compare(0, plan().under.size(), plan().under) != 0) return;
  struct stat status {};
  if (::fstat(fd, &status) != 0) return;
  const std::string key = key_of(fd, "", AT_EMPTY_PATH);
  S_ISDIR(status.st_mode) ? record_dir(fd, key) : record_file(path, key);
}

template <class Call>
ssize_t transfer(const char* name, int fd, std::size_t size, Call call) {
  switch (fate_of(name, path_of(fd))) {
    case Fate::fails:
      return -1;
    case Fate::is_short:
      return call(name, size > 1 ? size / 2 : size);
    default:
      return call(name, size);
  }
}

int synced(const char* name, int fd) {
  if (fate_of(name, path_of(fd)) == Fate::fails) return -1;
  const int result = next<int (*)(int)>(name)(fd);
  if (result == 0) record(fd);
  return result;
}

std::string path_in(int dir, const char* name) {
  return dir == AT_FDCWD || *name == '/' ? name : path_of(dir) + "/" + name;
}

/// The third argument of open(2), which is there with these flags alone.
mode_t mode_in(int flags, va_list more) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
}

}  // namespace

extern "C" {

ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  return transfer("pwrite", fd, size, [&](const char* name, size_t n) {
    return next<ssize_t (*)(int, const void*, size_t, off_t)>(name)(fd, data, n, at);
  });
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  return pwrite(fd, data, size, at);
}
ssize_t write(int fd, const void* data, size_t size) {
  return transfer("write", fd, size, [&](const char* name, size_t n) {
    return next<ssize_t (*)(int, const void*, size_t)>(name)(fd, data, n);
  });
}
ssize_t pread(int fd, void* data, size_t size, off_t at) {
  return transfer("pread", fd, size, [&](const char* name, size_t n) {
    return next<ssize_t (*)(int, void*, size_t, off_t)>(name)(fd, data, n, at);
  });
}
ssize_t pread64(int fd, void* data, size_t size, off64_t at) {
  return pread(fd, data, size, at);
}
ssize_t read(int fd, void* data, size_t size) {
  return transfer("read", fd, size,
                  [&](const char* name, size_t n) { return next<ssize_t (*)(int, void*, size_t)>(name)(fd, data, n); });
}
ssize_t writev(int fd, const iovec* pieces, int count) {
  switch (fate_of("writev", path_of(fd))) {
    case Fate::fails:
      return -1;
    case Fate::is_short:
      return next<ssize_t (*)(int, const iovec*, int)>("writev")(fd, pieces, 1);
    default:
      return next<ssize_t (*)(int, const iovec*, int)>("writev")(fd, pieces, count);
  }
}
ssize_t copy_file_range(int from, off64_t* in, int to, off64_t* out, size_t size, unsigned flags) {
  return transfer("copy_file_range", to, size, [&](const char* name, size_t n) {
    return next<ssize_t (*)(int, off64_t*, int, off64_t*, size_t, unsigned)>(name)(from, in, to, out, n, flags);
  });
}
/// Of opening, what makes a file alone.
int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = mode_in(flags, more);
  va_end(more);
  const bool makes = (flags & O_TMPFILE) == O_TMPFILE || (flags & O_CREAT) != 0;
  if (makes && fate_of("open", path) == Fate::fails) return -1;
  return next<int (*)(const char*, int, ...)>("open")(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = mode_in(flags, more);
  va_end(more);
  return open(path, flags | O_LARGEFILE, mode);
}
int fsync(int fd) {
  return synced("fsync", fd);
}
int fdatasync(int fd) {
  return synced("fdatasync", fd);
}
int ftruncate(int fd, off_t size) noexcept {
  if (fate_of("ftruncate", path_of(fd)) == Fate::fails) return -1;
  return next<int (*)(int, off_t)>("ftruncate")(fd, size);
}
int ftruncate64(int fd, off64_t size) noexcept {
  return ftruncate(fd, size);
}
int fallocate(int fd, int mode, off_t at, off_t size) {
  if (fate_of("fallocate", path_of(fd)) == Fate::fails) return -1;
  return next<int (*)(int, int, off_t, off_t)>("fallocate")(fd, mode, at, size);
}
int fallocate64(int fd, int mode, off64_t at, off64_t size) {
  return fallocate(fd, mode, at, size);
}
int renameat2(int from_dir, const char* from, int to_dir, const char* to, unsigned flags) noexcept {
  if (fate_of("renameat2", path_in(to_dir, to)) == Fate::fails) return -1;
  return next<int (*)(int, const char*, int, const char*, unsigned)>("renameat2")(from_dir, from, to_dir, to, flags);
}
int link(const char* from, const char* to) noexcept {
  if (fate_of("link", to) == Fate::fails) return -1;
  return next<int (*)(const char*, const char*)>("link")(from, to);
}
int rename(const char* from, const char* to) noexcept {
  if (fate_of("rename", to) == Fate::fails) return -1;
  return next<int (*)(const char*, const char*)>("rename")(from, to);
}
int unlink(const char* path) noexcept {
  if (fate_of("unlink", path) == Fate::fails) return -1;
  return next<int (*)(const char*)>("unlink")(path);
}
int unlinkat(int dir, const char* name, int flags) noexcept {
  if (fate_of("unlinkat", path_in(dir, name)) == Fate::fails) return -1;
  return next<int (*)(int, const char*, int)>("unlinkat")(dir, name, flags);
}
int remove(const char* path) noexcept {
  if (fate_of("remove", path) == Fate::fails) return -1;
  return next<int (*)(const char*)>("remove")(path);
}
int rmdir(const char* path) noexcept {
  if (fate_of("rmdir", path) == Fate::fails) return -1;
  return next<int (*)(const char*)>("rmdir")(path);
}
int mkdir(const char* path, mode_t mode) noexcept {
  if (fate_of("mkdir", path) == Fate::fails) return -1;
  return next<int (*)(const char*, mode_t)>("mkdir")(path, mode);
}

}  // extern "C"
