// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"

namespace umbra::base {

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this != &other) {
    reset();
    m_fd = other.release();
  }
  return *this;
}

int UniqueFd::release() {
  return std::exchange(m_fd, -1);
}

void UniqueFd::reset() {
  if (m_fd >= 0) ::close(m_fd);
  m_fd = -1;
}

UniqueFd open_file(const std::filesystem::path& path, int flags, unsigned mode) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) throw from_errno(errno, fmt::format("open {}", path.string()));
  return UniqueFd(fd);
}

bool ready_within(int fd, short events, std::optional<Millis> most, const CancelToken* cancel) {
  constexpr Millis longest_look{500};  // a signal that comes just before the wait does not end it
  const auto end = std::chrono::steady_clock::now() + most.value_or(Millis{0});
  for (;;) {
    if (cancel != nullptr) cancel->check();
    Millis left = longest_look;
    if (most)
      left = std::clamp(std::chrono::ceil<Millis>(end - std::chrono::steady_clock::now()), Millis{0}, longest_look);
    pollfd one{fd, events, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) throw from_errno(errno, "poll");
    if (ready == 0 && most && std::chrono::steady_clock::now() >= end) return false;
  }
}

bool readable_within(int fd, Millis deadline) {
  return ready_within(fd, POLLIN, deadline, nullptr);
}

std::size_t read_full(int fd, std::span<std::byte> buffer, std::string_view what, const CancelToken* cancel) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    if (cancel != nullptr) ready_within(fd, POLLIN, std::nullopt, cancel);
    const ssize_t n = ::read(fd, buffer.data() + done, buffer.size() - done);
    if (n == 0) break;
    if (n < 0) {
      if (errno == EINTR) continue;
      throw from_errno(errno, fmt::format("read {}", what));
    }
    done += static_cast<std::size_t>(n);
  }
  return done;
}

void write_all(int fd, std::span<const std::byte> data, std::string_view what) {
  write_all(fd, data, {}, what);
}

void write_all(int fd, std::string_view text, std::string_view what) {
  write_all(fd, std::as_bytes(std::span(text.data(), text.size())), what);
}

void write_all(int fd, std::span<const std::byte> first, std::span<const std::byte> second, std::string_view what,
               const CancelToken* cancel) {
  const auto piece = [](std::span<const std::byte> data) {
    return iovec{const_cast<std::byte*>(data.data()), data.size()};
  };
  while (!first.empty() || !second.empty()) {
    const iovec pieces[]{piece(first), piece(second)};
    const bool both = !first.empty() && !second.empty();
    const iovec& one = first.empty() ? pieces[1] : pieces[0];
    const ssize_t n = both ? ::writev(fd, pieces, 2) : ::write(fd, one.iov_base, one.iov_len);
    if (n < 0 && errno != EINTR) throw from_errno(errno, fmt::format("write {}", what));
    if (n < 0 && cancel != nullptr) cancel->check();
    if (n < 0) continue;
    const std::size_t of_first = std::min(static_cast<std::size_t>(n), first.size());
    first = first.subspan(of_first);
    second = second.subspan(static_cast<std::size_t>(n) - of_first);
  }
}

std::size_t read_at(int fd, std::uint64_t at, std::span<std::byte> buffer, std::string_view what) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t n = ::pread(fd, buffer.data() + done, buffer.size() - done, static_cast<off_t>(at + done));
    if (n == 0) break;
    if (n < 0) {
      if (errno == EINTR) continue;
      throw from_errno(errno, fmt::format("read {} at offset {}", what, at + done));
    }
    done += static_cast<std::size_t>(n);
  }
  return done;
}

void write_at(int fd, std::uint64_t at, std::span<const std::byte> data, std::string_view what) {
  std::size_t done = 0;
  while (done < data.size()) {
    const ssize_t n = ::pwrite(fd, data.data() + done, data.size() - done, static_cast<off_t>(at + done));
    if (n < 0) {
      if (errno == EINTR) continue;
      throw from_errno(errno, fmt::format("write {} at offset {}", what, at + done));
    }
    done += static_cast<std::size_t>(n);
  }
}

UniqueFd open_nameless(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return UniqueFd(fd);
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
    throw from_errno(errno, fmt::format("make a temporary file in {}", folder.string()))
        .set_hint("set TMPDIR to a folder with room");
  std::string name = (folder / "umbra-XXXXXX").string();
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named < 0) throw from_errno(errno, fmt::format("make a temporary file in {}", folder.string()));
  ::unlink(name.c_str());
  return UniqueFd(named);
}

std::string read_text_file(const std::filesystem::path& path, std::size_t limit) {
  const UniqueFd fd = open_file(path, O_RDONLY);
  std::string text;
  char buffer[65536];
  for (;;) {
    const std::size_t n = read_full(fd.get(), std::as_writable_bytes(std::span(buffer)), path.string());
    text.append(buffer, n);
    if (text.size() > limit)
      throw Error(Kind::invalid, fmt::format("{} is larger than {} bytes", path.string(), limit));
    if (n < sizeof buffer) return text;
  }
}

void sync_fd(int fd, std::string_view what) {
  if (::fsync(fd) != 0) throw from_errno(errno, fmt::format("fsync {}", what));
}

void sync_dir(const std::filesystem::path& dir) {
  const UniqueFd fd = open_file(dir, O_RDONLY | O_DIRECTORY);
  sync_fd(fd.get(), dir.string());
}

namespace {

constexpr std::string_view temporary_mark = ".tmp.";

/// The process that was writing such a file; nothing for another name.
std::optional<pid_t> writer_of(const std::string& name) {
  const std::size_t at = name.rfind(temporary_mark);
  if (at == std::string::npos || at == 0) return std::nullopt;
  const char* first = name.data() + at + temporary_mark.size();
  const char* last = name.data() + name.size();
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(first, last, pid);
  if (error != std::errc{} || end != last || pid <= 0) return std::nullopt;
  return pid;
}

}  // namespace

void remove_leftovers(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto writer = writer_of(entry.path().filename().string());
    if (writer && entry.is_regular_file() && ::kill(*writer, 0) != 0 && errno == ESRCH) left.push_back(entry.path());
  }
  for (const auto& file : left) std::filesystem::remove(file);
}

void write_file_atomic(const std::filesystem::path& path, std::string_view content, unsigned mode) {
  std::filesystem::path temporary = path;
  temporary += fmt::format("{}{}", temporary_mark, ::getpid());
  try {
    const UniqueFd fd = open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode);
    write_all(fd.get(), content, temporary.string());
    sync_fd(fd.get(), temporary.string());
    if (::rename(temporary.c_str(), path.c_str()) != 0)
      throw from_errno(errno, fmt::format("rename {} to {}", temporary.string(), path.string()));
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_dir(path.has_parent_path() ? path.parent_path() : ".");
}

OutputTarget output_target(const std::filesystem::path& named) {
  namespace fs = std::filesystem;
  std::error_code unknown;
  fs::path path = named;
  constexpr int most_links = 40;  // as the kernel follows
  for (int i = 0; i < most_links && fs::is_symlink(fs::symlink_status(path, unknown)); ++i)
    path = path.parent_path() / fs::read_symlink(path);
  const fs::file_status status = fs::status(path, unknown);
  if (fs::is_directory(status)) {
    throw Error(Kind::usage, fmt::format("{} is a folder, where a file is to be written", named.string()),
                "name a file in it");
  }
  const fs::path folder = path.parent_path();
  if (!folder.empty() && !fs::is_directory(folder, unknown)) {
    throw Error(Kind::usage, fmt::format("{}: there is no folder {}", named.string(), folder.string()),
                "mkdir -p " + shell_word(folder.string()));
  }
  return {path, fs::exists(status) && !fs::is_regular_file(status)};
}

void write_output(const std::filesystem::path& named, std::string_view content) {
  const OutputTarget target = output_target(named);
  if (!target.in_place) return write_file_atomic(target.path, content);
  const UniqueFd fd = open_file(target.path, O_WRONLY);
  write_all(fd.get(), content, target.path.string());
}

}  // namespace umbra::base
