// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/left_mirrors.hpp"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "adapters/virt/connection.hpp"
#include "adapters/virt/errors.hpp"
#include "adapters/virt/jobs.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace umbra::virt {

namespace {

using nlohmann::json;

constexpr base::Millis ends_within{30'000};

/// What QEMU's monitor returns; Kind::io with its words where it says no.
json ask_monitor(_virDomain* domain, const json& command, const std::string& what) {
  char* answer = nullptr;
  const int result =
      virDomainQemuMonitorCommand(domain, command.dump().c_str(), &answer, VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT);
  const Text owned(answer);
  check(result, what);
  const json parsed = json::parse(owned.get(), nullptr, false);
  if (parsed.is_object() && parsed.contains("return")) return parsed.at("return");
  const json error = parsed.is_object() ? parsed.value("error", json::object()) : json::object();
  throw base::Error(base::Kind::io,
                    fmt::format("{}: QEMU answers {} with: {}", what, command.at("execute").get<std::string>(),
                                error.value("desc", "nothing")));
}

/// What need not succeed, since what it is about may be gone by itself.
void try_monitor(_virDomain* domain, const json& command, const std::string& what) {
  try {
    ask_monitor(domain, command, what);
  } catch (const base::Error& e) {
    if (e.kind() != base::Kind::io) throw;
    base::log(base::Level::info, e.what());
  }
}

json command(const char* name, const json& arguments = json::object()) {
  return {{"execute", name}, {"arguments", arguments}};
}

/// Libvirt names a migration's mirror for the disk's device, and every other block job for what it does.
std::vector<std::string> left_mirrors(_virDomain* domain, const std::string& what) {
  std::vector<std::string> names;
  for (const json& job : ask_monitor(domain, command("query-block-jobs"), what)) {
    if (!job.is_object() || job.value("type", "") != "mirror") continue;
    if (const std::string name = job.value("device", ""); name.starts_with("drive-")) names.push_back(name);
  }
  return names;
}

/// A mirror that waits for the other host's answer does not hear that it is to end: its connection is cut first.
void cut_their_connections(_virDomain* domain, const std::string& what) {
  json instances = json::array();
  for (const json& instance : ask_monitor(domain, command("query-yank"), what)) {
    if (instance.value("type", "") == "block-node" && instance.value("node-name", "").starts_with("migration-"))
      instances.push_back(instance);
  }
  if (!instances.empty()) try_monitor(domain, command("yank", {{"instances", instances}}), what);
}

void end_mirrors(_virDomain* domain, const std::vector<std::string>& names, const std::string& what) {
  base::log(base::Level::info,
            fmt::format("{}: a migration that has ended still mirrors {} of its disks: that is ended", name_of(domain),
                        names.size()));
  cut_their_connections(domain, what);
  for (const std::string& name : names)
    try_monitor(domain, command("block-job-cancel", {{"device", name}, {"force", true}}), what);
  const bool ended = base::wait_until(base::system_clock(), ends_within, base::Millis{50}, [&] {
    // One that has concluded waits for whoever began it to take note.
    for (const json& job : ask_monitor(domain, command("query-jobs"), what)) {
      if (job.value("status", "") == "concluded" && std::ranges::count(names, job.value("id", "")) > 0)
        try_monitor(domain, command("job-dismiss", {{"id", job.value("id", "")}}), what);
    }
    return left_mirrors(domain, what).empty();
  });
  if (ended) return;
  const std::string cancel = command("block-job-cancel", {{"device", names.front()}, {"force", true}}).dump();
  throw base::Error(
      base::Kind::timeout, what + ": it does not end",
      fmt::format("virsh qemu-monitor-command {} {}", base::shell_word(name_of(domain)), base::shell_word(cancel)));
}

std::vector<json> block_nodes(_virDomain* domain, const std::string& what) {
  return ask_monitor(domain, command("query-named-block-nodes", {{"flat", true}}), what);
}

/// The copies' own block nodes, which libvirt deletes once: while a mirror still has them, QEMU refuses that, and the
/// next migration finds their names taken. The upper one of a disk first.
void delete_left_nodes(_virDomain* domain, const std::string& what) {
  std::vector<std::string> names;
  for (const json& node : block_nodes(domain, what)) {
    if (const std::string name = node.value("node-name", ""); name.starts_with("migration-")) names.push_back(name);
  }
  std::ranges::partition(names, [](const std::string& name) { return name.ends_with("-format"); });
  for (const std::string& name : names) try_monitor(domain, command("blockdev-del", {{"node-name", name}}), what);
}

}  // namespace

void end_left_mirrors(_virDomain* domain) {
  if (has_job(domain)) return;
  const std::string what = fmt::format("end what a migration left in QEMU of {}", name_of(domain));
  if (const auto names = left_mirrors(domain, what); !names.empty()) end_mirrors(domain, names, what);
  delete_left_nodes(domain, what);
}

bool has_orphaned_filter(_virDomain* domain) {
  const std::string what = fmt::format("look for what a migration left in QEMU of {}", name_of(domain));
  // A commit of a disk's top has such a filter too.
  const auto with_filter = [&] {
    return std::ranges::count_if(ask_monitor(domain, command("query-jobs"), what), [](const json& job) {
      return job.value("type", "") == "mirror" || job.value("type", "") == "commit";
    });
  };
  const auto before = with_filter();
  const auto filters = std::ranges::count_if(block_nodes(domain, what),
                                             [](const json& node) { return node.value("drv", "") == "mirror_top"; });
  return filters > std::max(before, with_filter());
}

}  // namespace umbra::virt
