// SPDX-License-Identifier: Apache-2.0
#pragma once
// File descriptors: one owner each, whole reads and writes, and files that appear whole or not at all.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/cancel.hpp"
#include "base/clock.hpp"

namespace umbra::base {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : m_fd(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : m_fd(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return m_fd; }
  explicit operator bool() const { return m_fd >= 0; }
  int release();
  void reset();

 private:
  int m_fd = -1;
};

/// open(2) with O_CLOEXEC; throws with the path named.
UniqueFd open_file(const std::filesystem::path& path, int flags, unsigned mode = 0644);
/// Waits for `events` of poll(2), an end, or a failure. False where `most` has passed, Kind::cancelled once `cancel`,
/// which may be null, is asked for.
bool ready_within(int fd, short events, std::optional<Millis> most, const CancelToken* cancel);
/// Whether there is something to read, or an end, before `deadline` has passed.
bool readable_within(int fd, Millis deadline);
/// Reads up to buffer.size() bytes; fewer only at the end of the file. Retries on EINTR. Ends by Kind::cancelled once
/// `cancel`, which may be null, is asked for.
std::size_t read_full(int fd, std::span<std::byte> buffer, std::string_view what, const CancelToken* cancel = nullptr);
void write_all(int fd, std::span<const std::byte> data, std::string_view what);
void write_all(int fd, std::string_view text, std::string_view what);
/// Both, one after the other, in as few calls as can be. Where that waits, a request to `cancel` ends it.
void write_all(int fd, std::span<const std::byte> first, std::span<const std::byte> second, std::string_view what,
               const CancelToken* cancel = nullptr);
/// From a place of the file: the same, with no regard to where its descriptor stands.
std::size_t read_at(int fd, std::uint64_t at, std::span<std::byte> buffer, std::string_view what);
void write_at(int fd, std::uint64_t at, std::span<const std::byte> data, std::string_view what);
/// A file in `folder` that has no name, for reading and writing: it goes with its descriptor.
UniqueFd open_nameless(const std::filesystem::path& folder);
std::string read_text_file(const std::filesystem::path& path, std::size_t limit = 64u << 20);
void sync_fd(int fd, std::string_view what);
/// fsync of a folder: makes renames and new names in it durable.
void sync_dir(const std::filesystem::path& dir);
/// Removes what write_file_atomic left in the folder where its process was killed: files NAME.tmp.PID of processes that
/// are gone.
void remove_leftovers(const std::filesystem::path& folder);
/// Writes a temporary file beside `path`, syncs it, renames it over `path`, syncs the folder.
void write_file_atomic(const std::filesystem::path& path, std::string_view content, unsigned mode = 0644);

/// Where what a user asked for goes. A file, there or not, is replaced whole, also at the end of a symbolic link; what
/// is no file (a pipe, a device) is written to as it is. Kind::usage for a folder, or where its folder is missing.
struct OutputTarget {
  std::filesystem::path path;
  bool in_place = false;
};
OutputTarget output_target(const std::filesystem::path& named);
void write_output(const std::filesystem::path& named, std::string_view content);

}  // namespace umbra::base
