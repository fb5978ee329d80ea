// SPDX-License-Identifier: Apache-2.0
#pragma once
// Points of disks that no libvirt manages: image files, block devices, NBD exports. Nothing tells what changed in them,
// so that a first pass is whole and every later one reads once and sends what differs from the newest point.

#include "replicate/allowance.hpp"
#include "replicate/replicate.hpp"

namespace umbra::replicate {

struct SourcesRequest {
  model::VmName name;  ///< of the machine that the disks make; its points lie under it
  base::Instant taken_at;
  unsigned retain = 3;
  std::optional<base::Seconds> retain_for{};  ///< points older than this go too
  model::HostName from;                       ///< that the disks are read on: its link is shared
  Limits limits;
  std::optional<model::ByteRate> link;  ///< what that link carries, where it is configured
  std::optional<Measured> measured;     ///< for the plan
  bool resume = true;                   ///< go on from what a cut pass sent
  base::Millis wait{0};                 ///< for another run that writes to the same points
  /// Runs when all is read, before the point becomes visible: throws where a source is not what it was.
  std::function<void()> before_commit;
};

/// Where the points of `name` lie at their far end.
model::ShadowId sources_shadow(const model::VmName& name);

/// What a pass would do; its bytes are those that are no zeroes by the sources' own account.
PassPlan plan_sources(ports::PointStore& far, const SourcesRequest& request, std::vector<ports::PartSource>& parts);
/// The same for one point that is sent one way.
PassPlan plan_whole(const SourcesRequest& request, std::vector<ports::PartSource>& parts);

/// One pass into `far`; the shadow's folder is made where there is none. Kind::refused where points of another origin
/// lie under that name.
PassResult run_sources(const Context& context, ports::PointStore& far, const SourcesRequest& request,
                       std::vector<ports::PartSource> parts);

using OpenSink = std::function<std::unique_ptr<ports::BlockSink>(const model::PointHeader&)>;
/// Sends the whole of it, as a point that stands alone and that the receiver numbers.
ports::SentPoint send_whole(const Context& context, const SourcesRequest& request, std::vector<ports::PartSource> parts,
                            const OpenSink& open);

}  // namespace umbra::replicate
