// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/jobs.hpp"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "adapters/virt/connection.hpp"
#include "adapters/virt/errors.hpp"
#include "base/error.hpp"

namespace umbra::virt {

bool has_job(_virDomain* domain) {
  virDomainJobInfo info{};
  if (virDomainGetJobInfo(domain, &info) < 0) {
    const Failure failure = last_failure();
    // Of a migration that is yet to bring it, which libvirt tells nothing of on this side.
    if (failure.code == VIR_ERR_OPERATION_UNSUPPORTED) return true;
    // A domain that is off has none, nor has any of a driver without jobs.
    if (failure.code == VIR_ERR_OPERATION_INVALID || kind_of(failure) == base::Kind::unsupported) return false;
    throw to_error(failure, "ask for the job of " + name_of(domain));
  }
  return info.type == VIR_DOMAIN_JOB_BOUNDED || info.type == VIR_DOMAIN_JOB_UNBOUNDED;
}

void refuse_while_busy(_virDomain* domain, const std::string& what) {
  if (!has_job(domain)) return;
  throw base::Error(base::Kind::busy, what + ": another job is under way",
                    "wait for its end, or see what it is: " + virsh(domain, "domjobinfo"));
}

}  // namespace umbra::virt
