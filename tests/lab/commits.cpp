// SPDX-License-Identifier: Apache-2.0
// Preloaded into umbra: stops it (SIGSTOP) at commits of the state database, and keeps what was synced. A commit is a
// sync of the database's log after pages were written to it. By the environment:
//   COMMITS_WHEN   before (its first write), written (not synced yet) or after (synced)
//   COMMITS_AT     the number of the commit, from 1 on; 0: each
//   COMMITS_SYNCED a folder that gets a copy of database and log after each sync

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "fakes/preloaded.hpp"

using umbra::preloaded::next;
using umbra::preloaded::setting;

namespace {

/// SQLite writes from one thread of umbra.
struct Commits {
  std::string when = setting("COMMITS_WHEN");
  long at = std::atol(setting("COMMITS_AT").c_str());
  std::string synced = setting("COMMITS_SYNCED");
  long done = 0;
  bool has_pages = false;
  bool has_begun = false;
};

Commits& commits() {
  static Commits the_commits;
  return the_commits;
}

/// The database whose log this is; empty where it is none.
std::string database_of(int fd) {
  const std::string file = umbra::preloaded::path_of(fd);
  const std::string end = "/umbra.db-wal";
  const bool is_log = file.size() > end.size() && file.compare(file.size() - end.size(), end.size(), end) == 0;
  return is_log ? file.substr(0, file.size() - 4) : "";
}

/// One that is killed while it stands here wakes up no more.
void stop_at(const char* when) {
  const Commits& c = commits();
  if (c.when == when && (c.at == 0 || c.at == c.done + 1)) ::raise(SIGSTOP);
}

void copy(const std::string& from, const std::string& to) {
  const int in = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
  const int out = ::open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  while (in >= 0 && out >= 0 && ::copy_file_range(in, nullptr, out, nullptr, 1u << 30, 0) > 0) {
  }
  ::close(in);
  ::close(out);
}

int sync(const char* name, int fd) {
  Commits& c = commits();
  const std::string database = database_of(fd);
  const bool is_commit = !database.empty() && c.has_pages;
  if (is_commit) stop_at("written");
  const int result = next<int (*)(int)>(name)(fd);
  if (database.empty() || result != 0) return result;
  if (!c.synced.empty()) {
    copy(database, c.synced + "/umbra.db");
    copy(database + "-wal", c.synced + "/umbra.db-wal");
  }
  if (is_commit) {
    stop_at("after");
    ++c.done;
    c.has_pages = c.has_begun = false;
  }
  return result;
}

}  // namespace

extern "C" {

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  if (!database_of(fd).empty()) {
    Commits& c = commits();
    if (!c.has_begun) stop_at("before");
    c.has_begun = true;
    c.has_pages = c.has_pages || size >= 512;  // the log's header and the frames' are smaller
  }
  return next<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64")(fd, data, size, at);
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  return pwrite64(fd, data, size, at);
}
int fsync(int fd) {
  return sync("fsync", fd);
}
int fdatasync(int fd) {
  return sync("fdatasync", fd);
}

}  // extern "C"
