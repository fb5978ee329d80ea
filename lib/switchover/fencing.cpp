// SPDX-License-Identifier: Apache-2.0
#include "switchover/fencing.hpp"

#include <fmt/core.h>

#include "base/text.hpp"

namespace umbra::switchover {

using base::Error;
using base::Kind;
using model::DomainState;

void check_source_is_lost(const Ports& ports, const Request& request) {
  const std::string vm = request.vm.get();
  const std::string host = request.from.host.get();
  std::optional<model::Domain> there;
  try {
    there = ports.hypervisors.at(request.from.host).find(request.vm);
  } catch (const Error& e) {
    if (e.kind() != Kind::unreachable) throw;
    return;
  }
  if (!there || there->state == DomainState::off) {
    throw Error(Kind::refused,
                fmt::format("{0} answers, and {1} is {2} there: its disks are newer than any point", host, vm,
                            there ? "off" : "not defined"),
                there ? ports.hypervisors.at(request.from.host).by_hand("start", request.vm)
                      : fmt::format("define it there again, or take {} off the network, if its disks are lost", host));
  }
  throw Error(Kind::refused, fmt::format("{} is {} on {}, which answers", vm, to_string(there->state), host),
              fmt::format("umbra switchover {}", base::shell_word(request.vm)));
}

void check_fence(const Ports& ports, const model::HostName& host, bool risk_accepted, const std::string& command) {
  if (ports.fence != nullptr || risk_accepted) return;
  throw Error(Kind::refused, fmt::format("{} gives no answer, which is no proof that nothing runs there", host.get()),
              fmt::format("configure [fence] command; or cut its power, and once you are sure: {} "
                          "--accept-split-brain-risk",
                          command));
}

std::string fenced(const Ports& ports, const model::HostName& host, const std::string& command) {
  if (ports.fence == nullptr) return "no fence; the risk of two was accepted";
  const ports::HookResult result = ports.fence->fence(host);
  if (result.ok) return result.message;
  throw Error(Kind::refused, fmt::format("{} was not fenced: {}", host.get(), result.message),
              fmt::format("cut its power yourself; once you are sure: {} --accept-split-brain-risk", command));
}

}  // namespace umbra::switchover
