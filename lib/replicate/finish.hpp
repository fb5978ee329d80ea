// SPDX-License-Identifier: Apache-2.0
#pragma once
// The last delta before a switchover: what the frozen files hold beyond the shadow's newest point becomes its next
// point, while the guest runs on above them; then the far end reads back what it has
// not read since it was written, and compares.

#include "replicate/replicate.hpp"

namespace umbra::replicate {

struct FinishRequest {
  model::VmName vm;
  model::HostName primary;
  model::HostName shadow_host;
  model::ShadowId shadow;
  /// As they were when frozen: `path` is the frozen file, not the overlay above it. An empty `chain` is asked for.
  std::vector<model::Disk> frozen;
  std::vector<model::CheckpointName> checkpoints;  ///< of the VM, as known at the freeze
  /// The shadow folder on the primary's own host, where the VM was once a shadow there and may stand on its layers.
  std::optional<model::ShadowId> own;
  base::Instant taken_at;  ///< of the freeze
  /// The shadow's newest point before the freeze, where it was written down. Needed to know an earlier call's point: a
  /// replication pass within the same second may bear the same time.
  std::optional<model::PointNumber> parent;
  std::optional<model::ByteRate> bandwidth;
};

/// The point that equals the frozen files, verified. Called again for the same freeze, with `parent`, it makes no
/// second point. Kind::corrupt where the far end reads back something else.
PassResult finish(const Context& context, const FinishRequest& request);

}  // namespace umbra::replicate
