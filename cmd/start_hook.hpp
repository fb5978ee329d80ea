// SPDX-License-Identifier: Apache-2.0
#pragma once
// Umbra's part in libvirt's qemu hook: a domain of an old epoch is not started, whoever asks for it.

#include <filesystem>
#include <string>

#include "cmd/session.hpp"

namespace umbra::cmd {

/// Libvirt asks every executable of that folder, in the order of their names.
inline constexpr const char* hook_folder = "/etc/libvirt/hooks/qemu.d";

/// What libvirt is given to run; `host` is this machine's name in the configuration.
std::string hook_script(const std::filesystem::path& program, const std::filesystem::path& config,
                        const model::HostName& host);
/// Writes it, executable, where it is not there in just this form. Kind::usage where no file of configuration was read
/// or none of its hosts is this machine.
int install_hook(Session& session, const std::string& host);
/// Whether the hook is in place where this run is.
struct HookHere {
  model::HostName host{};  ///< which of the configured hosts this machine is; empty where it is none
  std::filesystem::path file;
  bool in_place = false;  ///< in just the form that install_hook() gives it
};
/// Kind::usage where no file of configuration was read.
HookHere hook_here(Session& session);
/// Libvirt's question: the domain's XML on standard input. exit_refused, with the reason on standard error, where it
/// may not be started on `host`. Nothing goes to standard output, which libvirt would take for another XML.
int answer_hook(Session& session, const model::HostName& host);

}  // namespace umbra::cmd
