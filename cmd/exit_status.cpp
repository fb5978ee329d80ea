// SPDX-License-Identifier: Apache-2.0
#include "cmd/exit_status.hpp"

#include <algorithm>

namespace umbra::cmd {

int status_of(base::Kind kind) {
  switch (kind) {
    case base::Kind::usage:
      return exit_usage;
    case base::Kind::refused:
      return exit_refused;
    case base::Kind::interrupted:
      return exit_needs_recovery;
    case base::Kind::busy:
      return exit_locked;
    default:
      return exit_failed;
  }
}

int status_of(const std::vector<base::Kind>& failures, std::size_t done) {
  if (failures.empty()) return exit_done;
  if (done > 0) return exit_some_failed;
  const int first = status_of(failures.front());
  const bool alike = std::all_of(failures.begin(), failures.end(), [&](base::Kind k) { return status_of(k) == first; });
  return alike ? first : exit_failed;
}

}  // namespace umbra::cmd
