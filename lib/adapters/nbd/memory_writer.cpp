// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/core.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "adapters/nbd/part_writer.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;

void copy_range(int from, int to, off_t begin, off_t end, const fs::path& path) {
  std::vector<std::byte> buffer;
  while (begin < end) {
    loff_t in = begin;
    loff_t out = begin;
    const ssize_t n = ::copy_file_range(from, &in, to, &out, static_cast<std::size_t>(end - begin), 0);
    if (n > 0) {
      begin += n;
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
      throw base::from_errno(errno, fmt::format("copy to {}", path.string()));
    // This file system can't copy by itself.
    buffer.resize(1u << 20);
    const auto piece =
        std::span(buffer).first(std::min<std::size_t>(buffer.size(), static_cast<std::size_t>(end - begin)));
    const std::size_t got = base::read_at(from, static_cast<std::uint64_t>(begin), piece, path.native());
    if (got == 0) return;
    base::write_at(to, static_cast<std::uint64_t>(begin), piece.first(got), path.native());
    begin += static_cast<off_t>(got);
  }
}

/// Holes stay holes.
void copy_sparse(int from, int to, const fs::path& path) {
  if (::ioctl(to, FICLONE, from) == 0) return;
  const off_t size = ::lseek(from, 0, SEEK_END);
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return;
    if (data < 0) throw base::from_errno(errno, fmt::format("copy to {}", path.string()));
    const off_t hole = ::lseek(from, data, SEEK_HOLE);
    if (hole < 0) throw base::from_errno(errno, fmt::format("copy to {}", path.string()));
    copy_range(from, to, data, hole, path);
    at = hole;
  }
}

class MemoryWriter final : public PartWriter {
 public:
  MemoryWriter(const fs::path& path, model::ByteCount size, const std::optional<fs::path>& parent)
      : m_path(path), m_fd(base::open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600)) {
    if (parent) copy_sparse(base::open_file(*parent, O_RDONLY).get(), m_fd.get(), path);
    if (::ftruncate(m_fd.get(), static_cast<off_t>(size.value)) != 0)
      throw base::from_errno(errno, fmt::format("set the size of {}", path.string()));
  }

  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    base::write_at(m_fd.get(), offset, data, m_path.native());
  }

  void zero(std::uint64_t offset, std::uint64_t length) override {
    const auto begin = static_cast<off_t>(offset);
    if (::fallocate(m_fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, begin, static_cast<off_t>(length)) == 0)
      return;
    if (errno != EOPNOTSUPP) throw base::from_errno(errno, fmt::format("write zeroes to {}", m_path.string()));
    const std::vector<std::byte> zeroes(std::min<std::uint64_t>(length, 1u << 20));
    while (length > 0) {
      const auto piece = std::span(zeroes).first(std::min<std::uint64_t>(length, zeroes.size()));
      base::write_at(m_fd.get(), offset, piece, m_path.native());
      offset += piece.size();
      length -= piece.size();
    }
  }

  void read(std::uint64_t offset, std::span<std::byte> buffer) override {
    const std::size_t n = base::read_at(m_fd.get(), offset, buffer, m_path.native());
    std::fill(buffer.begin() + static_cast<std::ptrdiff_t>(n), buffer.end(), std::byte{0});
  }

  void drain() override {}

  void finish() override {
    base::sync_fd(m_fd.get(), m_path.string());
    m_fd.reset();
  }

 private:
  fs::path m_path;
  base::UniqueFd m_fd;
};

}  // namespace

std::unique_ptr<PartWriter> make_memory(const fs::path& path, model::ByteCount size,
                                        const std::optional<fs::path>& parent) {
  return std::make_unique<MemoryWriter>(path, size, parent);
}

}  // namespace umbra::nbd
