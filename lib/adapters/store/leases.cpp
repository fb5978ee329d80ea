// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/leases.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "adapters/store/locked_file.hpp"
#include "adapters/store/state_dir.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::store {
namespace {

class FileLease final : public ports::Lease {
 public:
  explicit FileLease(base::UniqueFd fd) : m_fd(std::move(fd)) {}

 private:
  base::UniqueFd m_fd;  // closing it frees the lock
};

/// The process that wrote itself into the lock file, for a message: it may have gone meanwhile.
std::string holder_of(const std::filesystem::path& path) {
  try {
    const std::string text = base::read_text_file(path, 64);
    return text.substr(0, text.find('\n'));
  } catch (const base::Error&) {
    return "";
  }
}

base::Error busy(const model::VmName& vm, const std::string& holder) {
  if (holder.empty())
    return base::Error(base::Kind::busy, fmt::format("another run of umbra works on {}", vm.get()),
                       "run the command again later");
  return base::Error(base::Kind::busy, fmt::format("another run of umbra works on {}: process {}", vm.get(), holder),
                     fmt::format("wait for it to end, or see what it does: ps -fp {}", holder));
}

}  // namespace

FileLeases::FileLeases(std::filesystem::path state_dir) : m_dir(std::move(state_dir) / "locks") {}

std::filesystem::path FileLeases::path_of(const model::VmName& vm) const {
  return m_dir / (file_name_of(vm.get()) + ".lock");
}

std::unique_ptr<ports::Lease> FileLeases::acquire(const model::VmName& vm, base::Millis wait) {
  make_private_dir(m_dir.parent_path());
  make_private_dir(m_dir);
  const std::filesystem::path path = path_of(vm);
  base::UniqueFd fd = base::open_file(path, O_RDWR | O_CREAT, 0600);
  const auto locked = [&] { return try_lock(fd.get(), LOCK_EX, path); };
  if (!base::wait_until(base::system_clock(), wait, base::Millis{20}, locked)) throw busy(vm, holder_of(path));
  if (::ftruncate(fd.get(), 0) != 0) throw base::from_errno(errno, fmt::format("empty {}", path.string()));
  base::write_all(fd.get(), fmt::format("{}\n", ::getpid()), path.string());
  return std::make_unique<FileLease>(std::move(fd));
}

}  // namespace umbra::store
