// SPDX-License-Identifier: Apache-2.0
#include "cmd/stream_vm.hpp"

#include <fmt/core.h>

#include "base/log.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/features.hpp"
#include "cmd/lookup.hpp"
#include "cmd/plans.hpp"
#include "cmd/session.hpp"
#include "replicate/stream_vm.hpp"

namespace umbra::cmd {
namespace {

using base::Error;
using base::Kind;

model::VmName the_vm(const Common& common) {
  if (common.all || common.operands.size() != 1 || is_piped(common))
    throw Error(Kind::usage, "a stream is of one VM",
                "umbra replicate VM --send - | ssh beta umbra receive --into DIR -");
  return model::VmName(common.operands.front());
}

}  // namespace

int run_stream_vm(Session& session, const SourceOptions& options, const Limits& limits) {
  const model::VmName vm = the_vm(session.common());
  check_stream(session, options, limits);
  const auto lease = take_lease(session, vm, limits.wait);
  const Located located = locate(session, vm);
  replicate::PassRequest request = replicate::pass_request(
      vm, session.config().policy(vm), session.config().host(located.host), {}, replicate::sources_shadow(vm));
  if (limits.rate) request.link_limit = limits.rate;
  if (session.common().dry_run) {
    const replicate::PassPlan plan =
        replicate::plan_first_pass(located.domain, request, "a stream that nothing comes back of is always whole");
    base::log(base::Level::info,
              fmt::format("replicate: {}: would send a whole point ({}), reading {}{}", vm.get(), plan.why,
                          human_bytes(plan.bytes.value_or(model::ByteCount{}).value), told_time(plan)));
    return exit_done;
  }
  const ports::SentPoint sent = replicate::stream_vm(context_of(session), request, to_output);
  base::log(base::Level::info, fmt::format("replicate: {}: sent whole (full): {} looked at, {} sent", vm.get(),
                                           human_bytes(sent.counts.looked.value), human_bytes(sent.sent.value)));
  return exit_done;
}

}  // namespace umbra::cmd
