// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/links.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "adapters/store/locked_file.hpp"
#include "adapters/store/state_dir.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::store {
namespace {

namespace fs = std::filesystem;

constexpr base::Millis good_for{500};  // how long an answer is not asked anew
constexpr std::string_view suffix = ".pass";

/// The weight in the file of a pass that is under way; 0 where it is not, or has not written it yet.
double weight_of(const fs::path& file) {
  const base::UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || try_lock(fd.get(), LOCK_SH, file)) return 0;
  const std::string text = base::read_text_file(file, 64);
  return std::max(0.0, std::strtod(text.c_str(), nullptr));
}

class FileShare final : public ports::LinkShare {
 public:
  FileShare(fs::path file, base::UniqueFd fd, double weight)
      : m_file(std::move(file)), m_fd(std::move(fd)), m_weight(weight) {}

  double share() override {
    const base::Millis now = base::system_clock().steady();
    if (m_asked && now - *m_asked < good_for) return m_share;
    m_asked = now;
    double all = m_weight;
    base::as_error([&] {
      for (const auto& entry : fs::directory_iterator(m_file.parent_path())) {
        if (entry.path() != m_file && entry.path().extension() == suffix) all += weight_of(entry.path());
      }
    });
    return m_share = m_weight / all;
  }

 private:
  fs::path m_file;
  base::UniqueFd m_fd;  // closing it frees the lock
  double m_weight;
  double m_share = 1;
  std::optional<base::Millis> m_asked;
};

}  // namespace

FileLinks::FileLinks(const fs::path& state_dir) : m_dir(state_dir / "links") {}

std::unique_ptr<ports::LinkShare> FileLinks::enter(const model::HostName& from, const model::VmName& vm,
                                                   double weight) {
  make_private_dir(m_dir.parent_path());
  const fs::path dir = m_dir / file_name_of(from.get());
  base::as_error([&] { fs::create_directories(dir); });
  fs::path file = dir / (file_name_of(vm.get()) + std::string(suffix));
  base::UniqueFd fd = base::open_file(file, O_RDWR | O_CREAT, 0600);
  // Another pass of the same VM is kept out by its lease; whoever looks holds the lock for a moment alone.
  const auto locked = [&] { return try_lock(fd.get(), LOCK_EX, file); };
  if (!base::wait_until(base::system_clock(), base::Millis{2000}, base::Millis{1}, locked))
    throw base::Error(base::Kind::busy, fmt::format("another pass of {} is under way", vm.get()));
  if (::ftruncate(fd.get(), 0) != 0) throw base::from_errno(errno, fmt::format("empty {}", file.string()));
  base::write_all(fd.get(), fmt::format("{}\n", weight), file.string());
  return std::make_unique<FileShare>(std::move(file), std::move(fd), weight);
}

}  // namespace umbra::store
