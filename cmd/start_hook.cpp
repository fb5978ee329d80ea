// SPDX-License-Identifier: Apache-2.0
#include "cmd/start_hook.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <condition_variable>
#include <iostream>
#include <iterator>
#include <mutex>
#include <thread>

#include "adapters/virt/virt.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "cmd/exit_status.hpp"
#include "model/config.hpp"
#include "switchover/start_rule.hpp"

namespace umbra::cmd {
namespace {

namespace fs = std::filesystem;
using switchover::Elsewhere;

/// Libvirt holds the start until it is answered.
constexpr std::chrono::seconds patience{4};

/// The answers of hosts, each asked in a thread of its own: one that does not answer is not waited for.
class HostAnswers {
 public:
  explicit HostAnswers(const std::vector<model::HostConfig>& hosts) {
    for (const model::HostConfig& host : hosts)
      m_all.push_back({host.name, std::nullopt, fmt::format("nothing within {} s", patience.count())});
  }
  void put(std::size_t which, std::optional<model::Domain> domain, std::string silence) {
    const std::lock_guard lock(m_mutex);
    m_all[which].domain = std::move(domain);
    m_all[which].silence = std::move(silence);
    ++m_answered;
    m_changed.notify_one();
  }
  std::vector<Elsewhere> wait() {
    std::unique_lock lock(m_mutex);
    m_changed.wait_for(lock, patience, [&] { return m_answered == m_all.size(); });
    return m_all;
  }

 private:
  std::mutex m_mutex;
  std::condition_variable m_changed;
  std::vector<Elsewhere> m_all;
  std::size_t m_answered = 0;
};

std::vector<Elsewhere> ask(const std::vector<model::HostConfig>& hosts, const model::VmName& vm) {
  const auto answers = std::make_shared<HostAnswers>(hosts);
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    std::thread([answers, i, host = hosts[i], vm] {
      try {
        answers->put(i, virt::connect(host)->find(vm), "");
      } catch (const std::exception& e) {
        answers->put(i, std::nullopt, e.what());
      }
    }).detach();
  }
  return answers->wait();
}

/// The file that this run was configured by, whole.
fs::path configuration_file(const model::Config& config) {
  for (const model::Origin& origin : config.origins) {
    const std::string file = origin.where.substr(0, origin.where.find(':'));
    if (file.ends_with(".toml") && file.find("/conf.d/") == std::string::npos) return fs::absolute(file);
  }
  throw base::Error(base::Kind::usage, "no file of configuration names the hosts, which the hook has to ask",
                    "write /etc/umbra/umbra.toml on this host, as in examples/umbra.toml");
}

fs::path hook_file() {
  return fs::path(hook_folder) / "umbra";
}

std::string script_for(Session& session, const model::HostName& host) {
  return hook_script(fs::read_symlink("/proc/self/exe"), configuration_file(session.config()), host);
}

bool is_in_place(const std::string& script) {
  const fs::path file = hook_file();
  std::error_code absent;
  return fs::is_regular_file(file, absent) && base::read_text_file(file) == script && ::access(file.c_str(), X_OK) == 0;
}

}  // namespace

std::string hook_script(const fs::path& program, const fs::path& config, const model::HostName& host) {
  return fmt::format(R"(#!/bin/sh
# Umbra's rule for libvirt: a VM whose tag says that it is not this host's to run is not started. Written by
# `umbra doctor --install-hook`. A VM without a tag is none of its business.
xml=$(cat)
case $2 in prepare | migrate | restore) ;; *) exit 0 ;; esac
case $xml in *https://umbra.dev/ns/domain/1*) ;; *) exit 0 ;; esac
printf '%s\n' "$xml" | {} doctor --config {} --hook {}
)",
                     base::shell_word(program.string()), base::shell_word(config.string()), base::shell_word(host));
}

HookHere hook_here(Session& session) {
  HookHere here{host_here(session.config()), hook_file(), false};
  if (!here.host.get().empty()) here.in_place = is_in_place(script_for(session, here.host));
  return here;
}

int install_hook(Session& session, const std::string& named) {
  const model::HostName host = named.empty() ? host_here(session.config()) : model::HostName(named);
  if (host.get().empty())
    throw base::Error(base::Kind::usage, "which of the configured hosts this machine is can't be told",
                      "umbra doctor --install-hook --host NAME");
  session.config().host(host);  // is one of them
  const std::string script = script_for(session, host);
  const fs::path file = hook_file();
  if (is_in_place(script)) {
    base::log(base::Level::info, fmt::format("doctor: {} is in place", file.string()));
    return exit_done;
  }
  if (session.common().dry_run) {
    session.out().text(script);
    return exit_done;
  }
  std::error_code absent;
  if (!fs::is_directory("/etc/libvirt", absent))
    throw base::Error(base::Kind::not_found, "there is no /etc/libvirt on this machine",
                      "run it on each host that runs VMs");
  fs::create_directories(hook_folder);
  base::write_file_atomic(file, script, 0755);
  base::log(
      base::Level::info,
      fmt::format("doctor: {} is written; libvirt looks for hooks when it starts: restart its daemon once (systemctl "
                  "restart libvirtd, or virtqemud; guests go on)",
                  file.string()));
  return exit_done;
}

int answer_hook(Session& session, const model::HostName& host) {
  const std::string xml{std::istreambuf_iterator<char>(std::cin), {}};
  const model::Domain starting = virt::domain_of(xml);
  auto objection = switchover::objection_to_start(starting, {});
  if (!objection && starting.tag.role == model::Role::primary) {
    std::vector<model::HostConfig> others = session.config().hosts;
    std::erase_if(others, [&](const model::HostConfig& other) { return other.name == host; });
    objection = switchover::objection_to_start(starting, ask(others, starting.name));
  }
  if (objection) throw base::Error(*objection);
  return exit_done;
}

}  // namespace umbra::cmd
