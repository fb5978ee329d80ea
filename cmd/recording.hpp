// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a source has recorded, taken into the history.

#include <map>
#include <optional>
#include <vector>

#include "cmd/session.hpp"

namespace umbra::cmd {

/// Takes what is newer than the history's newest samples; where that is empty, a day; with `since`, all from then on,
/// held or not, so that holes close. Never from before what the history keeps.
class Recording {
 public:
  Recording(Session& session, std::unique_ptr<ports::RecordedSource> source, std::optional<base::Seconds> since);

  /// The newest sample of each series that had new ones.
  std::vector<ports::SampleRow> look();
  std::uint64_t samples() const { return m_samples; }  ///< of all looks

 private:
  void keep(const std::vector<model::Series>& piece);

  Session& m_session;
  std::unique_ptr<ports::RecordedSource> m_source;
  std::optional<base::Seconds> m_since;
  std::map<model::Uuid, base::Instant> m_held;
  std::map<model::Uuid, ports::SampleRow> m_newest;  ///< of this look
  std::uint64_t m_samples = 0;
};

}  // namespace umbra::cmd
