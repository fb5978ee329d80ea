// SPDX-License-Identifier: Apache-2.0
#pragma once
// `umbra shadow points VM`: lists the restore points of a shadow, or of sources, reads them back, copies one out, thins
// them out.

#include <optional>
#include <string>

#include "cmd/session.hpp"

namespace umbra::cmd {

struct PointsOptions {
  bool verify = false;
  std::string export_to;
  std::optional<unsigned> point;
  std::optional<unsigned> retain;
  std::optional<base::Seconds> retain_for;
  std::string into;  ///< of sources: the folder of this machine that holds them
  std::string on;    ///< of sources: the configured host
  bool any() const { return verify || !export_to.empty() || point || retain || retain_for || !into.empty(); }
};

/// Under which the ledger has the passes of sources.
model::Uuid sources_key(const model::VmName& name);
/// The section there that tells where their points are: {"into":"/srv/points"}, {"on":"beta"} or {"to":"beta:7900"}.
inline constexpr const char* points_section = "points";

/// Kind::usage where the options do not go together.
void check_options(const PointsOptions& options);
int run_points(Session& session, const model::VmName& vm, const PointsOptions& options);

}  // namespace umbra::cmd
