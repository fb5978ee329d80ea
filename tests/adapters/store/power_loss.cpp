// SPDX-License-Identifier: Apache-2.0
// A VFS of SQLite that is the system's own but for xSync, which also copies the file that was synced, and xDelete,
// which holds for the copies from the next sync of the folder on: SQLite syncs it with the first sync of a log that it
// made.
#include "adapters/store/power_loss.hpp"

#include <sqlite3.h>

#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace umbra::test {
namespace {

namespace fs = std::filesystem;

struct Open {
  fs::path path;
  const sqlite3_io_methods* real = nullptr;
  bool makes_folder_sync = false;
};

struct Shim {
  sqlite3_vfs vfs{};
  sqlite3_vfs* real = nullptr;
  fs::path synced;
  fs::path watched;  ///< only files of the first folder that was opened are copied
  std::map<sqlite3_file*, Open> files;
  std::vector<fs::path> deleted;  ///< not synced yet
  std::map<const sqlite3_io_methods*, sqlite3_io_methods> methods;
};

Shim& shim() {
  static Shim the_shim;
  return the_shim;
}

int sync_and_copy(sqlite3_file* file, int flags) {
  Shim& s = shim();
  Open& open = s.files.at(file);
  const int result = open.real->xSync(file, flags);
  if (result != SQLITE_OK || open.path.parent_path() != s.watched) return result;
  if (std::exchange(open.makes_folder_sync, false)) {
    for (const fs::path& gone : std::exchange(s.deleted, {})) fs::remove(s.synced / gone.filename());
  }
  fs::copy_file(open.path, s.synced / open.path.filename(), fs::copy_options::overwrite_existing);
  return result;
}

int delete_watched(sqlite3_vfs*, const char* name, int sync_dir) {
  Shim& s = shim();
  if (fs::path(name).parent_path() == s.watched) s.deleted.push_back(name);
  return s.real->xDelete(s.real, name, sync_dir);
}

int open_watched(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  Shim& s = shim();
  const int result = s.real->xOpen(s.real, name, file, flags, out_flags);
  if (result != SQLITE_OK || file->pMethods == nullptr || name == nullptr) return result;
  if (s.watched.empty()) s.watched = fs::path(name).parent_path();
  s.files[file] = {name, file->pMethods, (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0};
  sqlite3_io_methods& own = s.methods[file->pMethods];
  own = *file->pMethods;
  own.xSync = sync_and_copy;
  file->pMethods = &own;
  return result;
}

}  // namespace

PowerLoss::PowerLoss(fs::path synced) : m_synced(std::move(synced)) {
  fs::create_directories(m_synced);
  Shim& s = shim();
  s.real = sqlite3_vfs_find(nullptr);
  s.vfs = *s.real;
  s.vfs.zName = "power-loss";
  s.vfs.xOpen = open_watched;
  s.vfs.xDelete = delete_watched;
  s.synced = m_synced;
  s.watched.clear();
  s.deleted.clear();
  if (sqlite3_vfs_register(&s.vfs, 1) != SQLITE_OK) throw std::runtime_error("sqlite3_vfs_register failed");
}

PowerLoss::~PowerLoss() {
  sqlite3_vfs_unregister(&shim().vfs);
}

fs::path PowerLoss::after() {
  const fs::path dir = m_synced.parent_path() / ("after-" + std::to_string(++m_losses));
  fs::copy(m_synced, dir);
  return dir;
}

}  // namespace umbra::test
