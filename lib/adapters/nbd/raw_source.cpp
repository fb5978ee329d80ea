// SPDX-License-Identifier: Apache-2.0
// A raw file of this host, read without a server between.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "adapters/nbd/file_reads.hpp"
#include "adapters/nbd/source.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::nbd {
namespace {

using base::Error;
using base::Kind;
using ports::Extent;
using ports::Range;

// QEMU's agreement on who may do what with an image: by locks on single bytes (block/file-posix.c). Who holds the first
// reads it, the second writes it; who holds the third does not bear with a writer.
constexpr off_t reads_it = 100;
constexpr off_t writes_it = 101;
constexpr off_t bears_no_writer = 201;

struct flock byte_lock(short type, off_t at) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = at;
  lock.l_len = 1;
  return lock;
}

/// As qemu-nbd would: no QEMU that writes the file starts while it is read. A file system without locks has none.
void agree_with_qemu(int fd, const std::string& path) {
  for (const off_t at : {reads_it, bears_no_writer}) {
    struct flock lock = byte_lock(F_RDLCK, at);
    ::fcntl(fd, F_OFD_SETLK, &lock);
  }
  struct flock writer = byte_lock(F_WRLCK, writes_it);
  if (::fcntl(fd, F_OFD_GETLK, &writer) != 0 || writer.l_type == F_UNLCK) return;
  throw Error(Kind::busy, fmt::format("another process writes {}", path),
              fmt::format("look which one: fuser -v {}", path));
}

class RawSource final : public ports::BlockSource {
 public:
  explicit RawSource(const std::string& path) : m_path(path), m_fd(base::open_file(path, O_RDONLY)) {
    agree_with_qemu(m_fd.get(), path);
    const off_t size = ::lseek(m_fd.get(), 0, SEEK_END);
    if (size < 0) throw base::from_errno(errno, fmt::format("ask for the size of {}", path));
    m_size = static_cast<std::uint64_t>(size);
    ::posix_fadvise(m_fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  }

  model::ByteCount size() const override { return {m_size}; }
  bool tracks_changes() const override { return false; }

  void each_extent(const std::function<void(const Extent&)>& each) override {
    for (std::uint64_t at = 0; at < m_size;) {
      const std::uint64_t data = seek(at, SEEK_DATA);
      if (data > at) each({at, data - at, true, true});
      if (data == m_size) return;
      at = seek(data, SEEK_HOLE);
      each({data, at - data, false, true});
    }
  }

  void read(std::span<const Range> ranges,
            const std::function<void(const Range&, std::span<const std::byte>)>& each) override {
    read_buffers(ranges, [&](const Range& range, ports::Buffer& buffer) {
      each(range, std::span<const std::byte>(buffer).first(range.length));
    });
  }

  void read_buffers(std::span<const Range> ranges,
                    const std::function<void(const Range&, ports::Buffer&)>& each) override {
    m_reads.each_range(
        ranges, [&](const Range& range, std::span<std::byte> buffer) { fill(range, buffer); }, each);
  }

  bool stands_alone() const override { return true; }
  void stop() noexcept override { m_reads.stop(); }

 private:
  /// The next byte of that kind, or the end. A file system that knows no holes has data alone.
  std::uint64_t seek(std::uint64_t from, int whence) const {
    const off_t found = ::lseek(m_fd.get(), static_cast<off_t>(from), whence);
    if (found >= 0) return std::min(static_cast<std::uint64_t>(found), m_size);
    if (errno == ENXIO) return m_size;
    if (errno == EINVAL) return whence == SEEK_DATA ? from : m_size;
    throw base::from_errno(errno, fmt::format("look for the holes of {}", m_path));
  }

  void fill(const Range& range, std::span<std::byte> buffer) const {
    if (base::read_at(m_fd.get(), range.offset, buffer, m_path) < buffer.size())
      throw Error(Kind::io, fmt::format("{} became shorter while it was read", m_path));
  }

  std::string m_path;
  base::UniqueFd m_fd;
  std::uint64_t m_size = 0;
  FileReads m_reads;
};

}  // namespace

std::unique_ptr<ports::BlockSource> open_raw(const std::string& path) {
  return std::make_unique<RawSource>(path);
}

}  // namespace umbra::nbd
