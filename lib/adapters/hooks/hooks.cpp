// SPDX-License-Identifier: Apache-2.0
#include "adapters/hooks/hooks.hpp"

#include <fmt/core.h>

#include "base/error.hpp"

namespace umbra::hooks {
namespace {

using ports::HookResult;

HookResult call(const base::Argv& argv, const std::string& input, base::Millis deadline) {
  try {
    base::Finished finished = base::run(argv, input, deadline);
    while (!finished.out.empty() && finished.out.back() == '\n') finished.out.pop_back();
    if (finished.timed_out)
      return {false, fmt::format("{} did not end within {}", base::to_shell(argv), base::to_human(deadline))};
    if (finished.status != 0)
      return {false, fmt::format("{} exited with {}{}{}", base::to_shell(argv), finished.status,
                                 finished.out.empty() ? "" : ": ", finished.out)};
    return {true, finished.out};
  } catch (const base::Error& error) {
    return {false, error.what()};
  }
}

base::Argv for_host(base::Argv argv, const model::HostName& host) {
  constexpr std::string_view place = "{host}";
  for (std::string& word : argv) {
    for (std::size_t at = 0; (at = word.find(place, at)) != std::string::npos; at += host.get().size())
      word.replace(at, place.size(), host.get());
  }
  return argv;
}

class CommandFence final : public ports::Fence {
 public:
  CommandFence(base::Argv command, base::Argv check, base::Millis deadline, base::Clock& clock)
      : m_command(std::move(command)), m_check(std::move(check)), m_deadline(deadline), m_clock(clock) {}
  HookResult fence(const model::HostName& host) override {
    const base::Millis end = m_clock.steady() + m_deadline;
    HookResult result = call(for_host(m_command, host), "", m_deadline);
    if (!result.ok || m_check.empty()) return result;
    const base::Argv check = for_host(m_check, host);
    const base::Millis left = std::max(end - m_clock.steady(), base::Millis{1});
    return ports::until_ok(m_clock, left, [&](base::Millis most) { return call(check, "\n", most); });
  }

 private:
  base::Argv m_command;
  base::Argv m_check;
  base::Millis m_deadline;
  base::Clock& m_clock;
};

}  // namespace

std::unique_ptr<ports::Fence> fence(base::Argv command, base::Argv check, base::Millis deadline, base::Clock& clock) {
  return std::make_unique<CommandFence>(std::move(command), std::move(check), deadline, clock);
}

}  // namespace umbra::hooks
