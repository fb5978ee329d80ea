// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/agent.hpp"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <array>
#include <charconv>
#include <map>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "adapters/virt/connection.hpp"
#include "adapters/virt/errors.hpp"
#include "adapters/virt/libvirt_hypervisor.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"

namespace umbra::virt {

namespace {

using nlohmann::json;

constexpr int answer_within_s = 5;
constexpr base::Millis listing_deadline{15'000};

/// Processes of user space: a kernel thread has an empty command line and comes and goes. No command but the shell's
/// own is run, so that a small guest has it and the listing does not list itself: the shell is left out by its pid.
constexpr const char* listing_script = R"(
set -f
read up rest </proc/uptime && echo "uptime $up"
for dir in $(set +f; echo /proc/[0-9]*); do
  pid=${dir#/proc/}
  [ "$pid" != $$ ] || continue
  IFS= read -r stat <"$dir/stat" || continue
  line=
  read -r line <"$dir/cmdline"
  [ -n "$line" ] || continue
  name=${stat#*\(}
  name=${name%\)*}
  set -- ${stat##*\) }
  [ "$2" != $$ ] || continue
  started=${20}
  set -- $(set +f; cd "$dir/fd" && echo *)
  [ "$*" != '*' ] || shift
  echo "$pid $started $# $name"
done 2>/dev/null
)";

/// Nothing where no agent answers or it refuses the command.
std::optional<json> ask_agent(_virDomain* domain, const json& command) {
  const Text answer(virDomainQemuAgentCommand(domain, command.dump().c_str(), answer_within_s, 0));
  if (!answer) {
    const Failure failure = last_failure();
    const bool agent = failure.code == VIR_ERR_AGENT_UNRESPONSIVE || failure.code == VIR_ERR_AGENT_UNSYNCED;
    if (!agent && kind_of(failure) == base::Kind::unreachable) throw to_error(failure, "ask the guest agent");
    return std::nullopt;
  }
  json parsed = json::parse(answer.get(), nullptr, false);
  if (!parsed.is_object() || !parsed.contains("return")) return std::nullopt;
  return parsed["return"];
}

/// The output of a shell script in the guest; nothing where the agent does not carry it through in time.
std::optional<std::string> run_in_guest(_virDomain* domain, const char* script) {
  const auto started =
      ask_agent(domain, {{"execute", "guest-exec"},
                         {"arguments", {{"path", "/bin/sh"}, {"arg", {"-c", script}}, {"capture-output", true}}}});
  if (!started || !started->contains("pid")) return std::nullopt;
  const json question{{"execute", "guest-exec-status"}, {"arguments", {{"pid", started->at("pid")}}}};
  std::optional<json> status;
  const bool ended = base::wait_until(base::system_clock(), listing_deadline, base::Millis{50}, [&] {
    status = ask_agent(domain, question);
    return !status || status->value("exited", false);
  });
  if (!ended || !status || status->value("exitcode", 1) != 0) return std::nullopt;
  return decode_base64(status->value("out-data", std::string()));
}

template <class T>
bool parse_number(const std::string& text, T& value) {
  return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc();
}

}  // namespace

FrozenFileSystems::FrozenFileSystems(_virDomain* domain, bool agent_connected) : m_domain(domain) {
  if (!agent_connected || !agent_offers(domain, {"guest-fsfreeze-thaw"})) return;
  // A frozen guest's agent offers no freezing: a run that died has left it so.
  if (!agent_offers(domain, {"guest-fsfreeze-freeze"})) {
    virDomainFSThaw(domain, nullptr, 0, 0);
    if (!agent_offers(domain, {"guest-fsfreeze-freeze"})) return;
  }
  m_frozen = virDomainFSFreeze(domain, nullptr, 0, 0) >= 0;
  m_worked = m_frozen;
  if (m_frozen) return;
  const std::string reason = last_failure().message;
  base::log(base::Level::warning, "the file systems of " + name_of(domain) + " could not be frozen: " + reason);
  virDomainFSThaw(domain, nullptr, 0, 0);  // some of several may be
}

FrozenFileSystems::~FrozenFileSystems() {
  thaw();
}

void FrozenFileSystems::thaw() {
  if (!m_frozen) return;
  m_frozen = false;
  if (virDomainFSThaw(m_domain, nullptr, 0, 0) >= 0) return;
  const std::string reason = last_failure().message;
  base::log(base::Level::error, fmt::format("the file systems of {} are still frozen: {}; thaw them: {}",
                                            name_of(m_domain), reason, virsh(m_domain, "domfsthaw")));
}

bool agent_offers(_virDomain* domain, std::initializer_list<std::string_view> commands) {
  const auto info = ask_agent(domain, {{"execute", "guest-info"}});
  if (!info || !info->contains("supported_commands")) return false;
  for (const std::string_view wanted : commands) {
    bool found = false;
    for (const json& command : info->at("supported_commands")) {
      found = found || (command.value("name", "") == wanted && command.value("enabled", false));
    }
    if (!found) return false;
  }
  return true;
}

model::GuestActivity parse_activity(std::string_view listing) {
  model::GuestActivity activity;
  std::istringstream lines{std::string(listing)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first, second, third, name;
    words >> first >> second >> third;
    if (double uptime = 0; first == "uptime" && parse_number(second, uptime)) activity.uptime_s = uptime;
    std::getline(words >> std::ws, name);
    model::GuestProcess process;
    std::uint64_t open_files = 0;
    if (!parse_number(first, process.pid) || !parse_number(second, process.started_ticks) ||
        !parse_number(third, open_files)) {
      continue;
    }
    process.name = name;
    activity.processes.push_back(std::move(process));
    activity.open_files += open_files;
  }
  return activity;
}

std::string decode_base64(std::string_view text) {
  static constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0, held = 0;
  for (const char c : text.substr(0, text.find('='))) {
    const std::size_t value = alphabet.find(c);
    if (value == std::string_view::npos)
      throw base::Error(base::Kind::invalid, "no base64 in the guest agent's answer");
    held = held << 6 | static_cast<unsigned>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out += static_cast<char>(held >> bits & 0xff);
  }
  return out;
}

bool LibvirtHypervisor::agent_is_silent(const model::VmName& vm) {
  const DomainHandle domain = m_connection->domain(vm);
  return !ask_agent(domain.get(), {{"execute", "guest-ping"}});
}

std::optional<model::GuestActivity> LibvirtHypervisor::guest_activity(const model::VmName& vm) {
  const DomainHandle domain = m_connection->domain(vm);
  return base::with_context(m_connection->act("ask the agent of", vm), [&]() -> std::optional<model::GuestActivity> {
    if (!is_active(domain.get()) || !agent_offers(domain.get(), {"guest-exec", "guest-exec-status"}))
      return std::nullopt;
    const auto listing = run_in_guest(domain.get(), listing_script);
    if (!listing) return std::nullopt;
    return parse_activity(*listing);
  });
}

}  // namespace umbra::virt
