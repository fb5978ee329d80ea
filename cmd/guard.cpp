// SPDX-License-Identifier: Apache-2.0
#include "cmd/guard.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <optional>

#include "adapters/procfs/guard_door.hpp"
#include "adapters/procfs/move_guard.hpp"
#include "adapters/virt/virt.hpp"

namespace umbra::cmd {
namespace {

/// This host's own libvirt, whatever the configuration calls it.
model::HostConfig this_host() {
  const char* const uri = std::getenv("LIBVIRT_DEFAULT_URI");
  model::HostConfig host;
  host.name = model::HostName("this host");
  host.uri = uri != nullptr ? uri : "qemu:///system";
  return host;
}

/// Asks this host's libvirt for one VM, also after it was started anew.
class Here {
 public:
  explicit Here(model::Uuid vm) : m_vm(std::move(vm)) {}

  /// The VM's images where it stands here, as libvirt sees it; none otherwise, and in post-copy. Nothing where libvirt
  /// does not answer: so it lets nobody go on either.
  std::optional<std::vector<std::string>> images_where_it_stands() {
    std::vector<std::string> images;
    try {
      const auto domain = find();
      if (!domain || domain->state != model::DomainState::paused || domain->postcopy != model::Postcopy::none)
        return images;
      for (const model::Disk& disk : domain->disks) images.push_back(disk.path);
    } catch (const base::Error&) {
      m_libvirt.reset();
      return std::nullopt;
    }
    return images;
  }

  std::optional<model::Domain> find() {
    if (!m_libvirt) m_libvirt = virt::connect(this_host());
    if (m_name) return m_libvirt->find(*m_name);
    for (model::Domain& domain : m_libvirt->domains()) {
      if (domain.uuid != m_vm) continue;
      m_name = domain.name;
      return std::move(domain);
    }
    return std::nullopt;
  }

 private:
  model::Uuid m_vm;
  std::optional<model::VmName> m_name;
  std::unique_ptr<ports::Hypervisor> m_libvirt;
};

}  // namespace

void guard_here(Session& session, const model::Uuid& vm) {
  procfs::end_guard(vm);  // of an earlier walk
  Here here(vm);
  if (!here.find()) throw base::Error(base::Kind::not_found, fmt::format("libvirt here does not know {}", vm.get()));
  procfs::GuardOptions options;
  options.vm = vm;
  options.owner_fd = STDIN_FILENO;
  options.images_of_standing = [&here] { return here.images_where_it_stands(); };
  procfs::guard_move(options, session.cancel(), session.clock(),
                     [] { base::write_all(STDOUT_FILENO, std::string_view("+\n"), "standard output"); });
}

void end_guard_here(Session& session, const model::Uuid& vm) {
  session.out().json_line({{"held", procfs::end_guard(vm)}});
}

}  // namespace umbra::cmd
