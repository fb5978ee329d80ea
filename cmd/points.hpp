// SPDX-License-Identifier: Apache-2.0
#pragma once
// `umbra shadow points VM`: lists the restore points of a shadow, reads them back, copies one out, thins them out.

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
  bool any() const { return verify || !export_to.empty() || point || retain || retain_for; }
};

/// Kind::usage where the options do not go together.
void check_options(const PointsOptions& options);
int run_points(Session& session, const model::VmName& vm, const PointsOptions& options);

}  // namespace umbra::cmd
