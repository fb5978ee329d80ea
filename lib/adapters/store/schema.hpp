// SPDX-License-Identifier: Apache-2.0
#pragma once
// The schema of umbra.db as a list of steps. PRAGMA user_version is the number of the last step applied.

#include <span>
#include <string>

namespace SQLite {
class Database;
}

namespace umbra::store {

/// Step N of the list leads from version N-1 to version N. A step that was released is never changed.
struct Migration {
  const char* what;
  const char* sql;
};

std::span<const Migration> migrations();

enum class Schema { older, current };

/// Looks, and changes nothing. Kind::unsupported for a schema newer than the list, Kind::corrupt for another program's
/// database.
Schema inspect(SQLite::Database& db, const std::string& file);

/// Applies in one transaction the steps that are missing, up to version `last`. Another process may do so at the same
/// time.
void migrate(SQLite::Database& db, std::size_t last = migrations().size());

}  // namespace umbra::store
