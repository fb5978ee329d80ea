// SPDX-License-Identifier: Apache-2.0
#pragma once
// Replication: makes the shadow's next restore point out of what the primary wrote since the last one. Written against
// the ports alone. A pass that fails leaves no point, no backup job, and no checkpoint of its own (one that can't be
// deleted goes with the next pass); what it sent stays for the next. The last point stays restorable all along.

#include <optional>
#include <string>
#include <vector>

#include "model/config.hpp"
#include "ports/context.hpp"
#include "ports/delta.hpp"

namespace umbra::replicate {

using ports::Context;

struct PassRequest {
  model::VmName vm;
  model::HostName primary;
  model::HostName shadow_host;
  model::ShadowId shadow;
  base::Seconds rpo{300};
  base::Seconds every{60};  ///< how often it is looked whether a pass is due
  unsigned retain = 3;
  std::optional<base::Seconds> retain_for{};  ///< points older than this go too; absent: their number alone counts
  std::optional<model::ByteRate> bandwidth;   ///< of this VM
  std::optional<model::ByteRate> link_limit;  ///< of all passes from its host together
  double weight = 1;                          ///< of this pass among those
  std::optional<model::ByteRate> link;        ///< what its host's link carries, where that is configured
  bool resume = true;                         ///< go on from what a cut pass sent
  std::string nbd_listen;                     ///< TCP address of the primary's export; empty: a local socket
  std::string scratch_dir;                    ///< on the primary's host
  std::optional<model::Replica> last;         ///< of the pass before, where known: for estimates
};

/// What a pass would do, for --dry-run.
struct PassPlan {
  model::PointNumber point;  ///< that it would make
  ports::Method method = ports::Method::full;
  std::string why;
  std::optional<model::ByteCount> bytes;  ///< to be looked at; absent where nothing tells
  std::optional<base::Seconds> duration;  ///< absent where no rate is known
  std::string rate;                       ///< that the duration goes by, in words, or that none is known
};

struct PassResult {
  model::Replica replica;
  model::ShadowLevel level = model::ShadowLevel::seeded;  ///< of the shadow by now
  std::vector<std::string> notes;                         ///< what went less well without harm to the point
};

/// The request for a VM under its policy and its host's configuration.
PassRequest pass_request(const model::VmName& vm, const model::VmPolicy& policy, const model::HostConfig& primary,
                         const model::HostName& shadow_host, const model::ShadowId& shadow);

/// Kind::refused where the domain is no primary, or in a state in which nothing can be read; Kind::unsupported where
/// its disks can't be.
void check_primary(const ports::Hypervisor& hypervisor, const model::Domain& domain, const model::HostName& host);
/// The disks of a domain that is off, to be read as files of that host.
std::vector<ports::PartSource> parts_of_files(const Context& context, const model::HostName& host,
                                              const model::Domain& domain);
/// Kind::busy where it was started meanwhile.
void require_off(ports::Hypervisor& primary, const model::VmName& vm);

/// Changes nothing.
PassPlan plan_pass(const Context& context, const PassRequest& request);
/// The plan of the first pass onto a shadow that is not made yet; `why` says so.
PassPlan plan_first_pass(const model::Domain& primary, const PassRequest& request, std::string why);

/// One pass: a running guest through a backup job and its checkpoint, one that is off through its files. Kind::refused
/// where the domain is no primary or in no such state, Kind::unsupported where it has no disk that can be read,
/// Kind::busy where another job is under way, another run writes to the shadow, or it was started meanwhile.
PassResult run_pass(const Context& context, const PassRequest& request);

}  // namespace umbra::replicate
