// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/mapped_source.hpp"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <map>

#include "adapters/nbd/cluster_map.hpp"
#include "adapters/nbd/direct_reads.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using ports::Extent;
using ports::Range;

DirectFile open_both(const fs::path& file) {
  DirectFile opened{base::open_file(file, O_RDONLY), {}};
  opened.direct = base::UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
  if (!opened.direct) drop_cache(file);
  return opened;
}

class MappedSource final : public ports::BlockSource {
 public:
  MappedSource(std::unique_ptr<ClusterMap> map, bool tracks) : m_map(std::move(map)), m_tracks(tracks) {}

  model::ByteCount size() const override { return m_map->size(); }
  bool tracks_changes() const override { return m_tracks; }
  bool stands_alone() const override { return true; }
  void stop() noexcept override { m_stopped = true; }

  void each_extent(const std::function<void(const Extent&)>& each) override {
    for (std::uint64_t at = 0; at < size().value;) {
      const Stretch stretch = m_map->at(at);
      each({stretch.offset, stretch.length, stretch.zero, stretch.changed});
      at = stretch.end();
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
    m_direct.each_range(
        ranges,
        [&](const Range& range, std::span<std::byte> buffer, DirectReads::Reads& reads) { fill(range, buffer, reads); },
        each);
  }

 private:
  void fill(const Range& range, std::span<std::byte> buffer, DirectReads::Reads& reads) {
    if (m_stopped) throw Error(Kind::cancelled, "the reading was stopped");
    for (std::uint64_t at = range.offset; !buffer.empty();) {
      if (at >= size().value) throw Error(Kind::io, fmt::format("read at offset {}, past the disk's end", at));
      const Stretch stretch = m_map->at(at);
      const std::uint64_t within = at - stretch.offset;
      const auto part = buffer.first(std::min<std::uint64_t>(buffer.size(), stretch.length - within));
      if (stretch.is_packed) throw Error(Kind::io, fmt::format("what lies at offset {} is packed", at));
      if (stretch.zero)
        std::fill(part.begin(), part.end(), std::byte{0});
      else
        m_direct.add(reads, file(stretch.file), stretch.place + within, part);
      at += part.size();
      buffer = buffer.subspan(part.size());
    }
  }

  const DirectFile& file(std::uint32_t nth) {
    const auto known = m_files.find(nth);
    return known != m_files.end() ? known->second : m_files.emplace(nth, open_both(m_map->file(nth))).first->second;
  }

  std::unique_ptr<ClusterMap> m_map;
  std::map<std::uint32_t, DirectFile> m_files;  ///< of the chain, those that were read
  bool m_tracks;
  std::atomic<bool> m_stopped = false;
  DirectReads m_direct;
};

}  // namespace

std::unique_ptr<ports::BlockSource> open_mapped(const fs::path& image, std::uint32_t depth, MapBy by) {
  std::unique_ptr<ClusterMap> map;
  if (by == MapBy::tables) map = map_of_plain_chain(image, depth);
  if (!map) map = map_told_by_qemu(image, depth);
  return map ? std::make_unique<MappedSource>(std::move(map), depth != 0) : nullptr;
}

void drop_cache(const fs::path& file) {
  const base::UniqueFd fd = base::open_file(file, O_RDONLY);
  base::sync_fd(fd.get(), file.string());
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);  // where it can't, the cache is compared
}

}  // namespace umbra::nbd
