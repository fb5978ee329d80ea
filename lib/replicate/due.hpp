// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether a pass is due by now, and what the record of one tells of the next and of the RPO.
//
// A VM that is off writes nothing more: one pass after its end brings the shadow all there is. Its record bears the
// images' sizes and times as they were before they were read. As long as they are the same nothing was written since,
// though the VM may have been started and stopped; where they differ, one more pass is due.

#include "replicate/replicate.hpp"

namespace umbra::replicate {

using Images = std::map<model::DiskName, model::FileStamp>;
/// The files of a domain's disks on that host; empty stamps where it refuses to show them. Kind::not_found where one is
/// gone.
Images images_of(const Context& context, const model::HostName& host, const model::Domain& domain);

struct DueNow {
  bool due = true;
  std::string why_not;  ///< empty where the record's due_reason tells
};
/// By request.last. `off` is the domain where it is off, null where it is not.
DueNow due_now(const Context& context, const PassRequest& request, const model::Domain* off);

/// Fills in what the record tells of the next pass, and of the RPO up to this one; what is amiss becomes a note.
/// `before` are the points as they were before the pass, `images` those of a VM that is off.
void tell_due(const Context& context, const PassRequest& request, const model::Ground& ground,
              const std::vector<model::PointInfo>& before, const Images& images, const ports::SentPoint& sent,
              PassResult& result);

}  // namespace umbra::replicate
