// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/mapped_source.hpp"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "adapters/nbd/direct_reads.hpp"
#include "adapters/nbd/process.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/paged_list.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using nlohmann::json;
using ports::Extent;
using ports::Range;

/// A stretch of the disk: zeroes, or bytes of the chain's nth file from `place` on.
struct Stretch {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t place = 0;
  std::uint32_t file = 0;
  bool zero = false;
  bool changed = false;
};

using Stretches = base::PagedList<Stretch>;

/// Takes what qemu-img tells entry by entry, so that no more of it is in memory than the entry under way.
class MapReader final : public json::json_sax_t {
 public:
  explicit MapReader(std::uint32_t depth) : m_depth(depth) {}

  /// The whole disk, without gaps; nothing where that was not told.
  std::optional<Stretches> take() && { return m_is_whole ? std::optional(std::move(m_stretches)) : std::nullopt; }

  bool start_object(std::size_t) override {
    m_entry = {};
    return true;
  }
  bool key(string_t& name) override {
    m_key = name;
    return true;
  }
  bool boolean(bool value) override {
    if (m_key == "zero") m_entry.zero = value;
    if (m_key == "data") m_entry.data = value;
    if (m_key == "present") m_entry.present = value;
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (m_key == "start") m_entry.start = value;
    if (m_key == "length") m_entry.length = value;
    if (m_key == "depth") m_entry.depth = value;
    if (m_key == "offset") m_entry.offset = value;
    return true;
  }
  bool end_object() override {
    const Entry& e = m_entry;
    if (e.start != m_end || !e.length || !e.depth || !e.zero) return false;
    if (!*e.zero && (!e.data || !e.offset)) return false;  // it has no place of its own
    if (m_depth != 0 && !e.present) return false;
    const auto file = static_cast<std::uint32_t>(*e.depth);
    m_stretches.push_back(
        {m_end, *e.length, e.offset.value_or(0), file, *e.zero, m_depth == 0 || (*e.present && file < m_depth)});
    m_end += *e.length;
    return true;
  }
  bool end_array() override { return m_is_whole = true; }

  // What has no place in a map ends it.
  bool null() override { return false; }
  bool number_integer(number_integer_t) override { return false; }
  bool number_float(number_float_t, const string_t&) override { return false; }
  bool binary(binary_t&) override { return false; }
  bool string(string_t&) override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool parse_error(std::size_t, const std::string&, const json::exception&) override { return false; }

 private:
  struct Entry {
    std::optional<std::uint64_t> start, length, depth, offset;
    std::optional<bool> zero, present;
    bool data = false;
  };
  std::uint32_t m_depth;
  Stretches m_stretches;
  Entry m_entry;
  std::string m_key;
  std::uint64_t m_end = 0;
  bool m_is_whole = false;
};

/// Nothing where qemu-img can't tell.
std::optional<Stretches> map_of(const fs::path& image, std::uint32_t depth) {
  MapReader reader(depth);
  const int status = read_tool({"qemu-img", "map", "--output=json", "-f", "qcow2", image.string()},
                               [&](std::FILE* told) { json::sax_parse(told, &reader); });
  return status == 0 ? std::move(reader).take() : std::nullopt;
}

class MappedSource final : public ports::BlockSource {
 public:
  MappedSource(Stretches stretches, std::vector<DirectFile> files, bool tracks)
      : m_stretches(std::move(stretches)), m_files(std::move(files)), m_tracks(tracks) {}

  model::ByteCount size() const override { return {m_stretches.empty() ? 0 : end_of(m_stretches.back())}; }
  bool tracks_changes() const override { return m_tracks; }
  bool stands_alone() const override { return true; }
  void stop() noexcept override { m_stopped = true; }

  void each_extent(const std::function<void(const Extent&)>& each) override {
    for (std::size_t n = 0; n < m_stretches.size(); ++n) {
      const Stretch stretch = m_stretches[n];
      each({stretch.offset, stretch.length, stretch.zero, stretch.changed});
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
  static std::uint64_t end_of(const Stretch& stretch) { return stretch.offset + stretch.length; }

  /// The first stretch that ends behind `at`. Reads rise: it is mostly the last one's, or the next.
  std::size_t stretch_at(std::uint64_t at) {
    for (std::size_t n = m_near; n < std::min(m_near + 4, m_stretches.size()); ++n) {
      const Stretch stretch = m_stretches[n];
      if (stretch.offset <= at && at < end_of(stretch)) return m_near = n;
    }
    std::size_t first = 0;
    for (std::size_t left = m_stretches.size(); left > 0;) {
      const std::size_t half = left / 2;
      const bool ends_before = end_of(m_stretches[first + half]) <= at;
      first += ends_before ? half + 1 : 0;
      left = ends_before ? left - half - 1 : half;
    }
    return m_near = first;
  }

  void fill(const Range& range, std::span<std::byte> buffer, DirectReads::Reads& reads) {
    if (m_stopped) throw Error(Kind::cancelled, "the reading was stopped");
    std::uint64_t at = range.offset;
    for (std::size_t n = stretch_at(at); !buffer.empty(); ++n) {
      if (n >= m_stretches.size()) throw Error(Kind::io, fmt::format("read at offset {}, past the disk's end", at));
      const Stretch stretch = m_stretches[n];
      const std::uint64_t within = at - stretch.offset;
      const auto part = buffer.first(std::min<std::uint64_t>(buffer.size(), stretch.length - within));
      if (stretch.zero)
        std::fill(part.begin(), part.end(), std::byte{0});
      else
        m_direct.add(reads, m_files.at(stretch.file), stretch.place + within, part);
      at += part.size();
      buffer = buffer.subspan(part.size());
    }
  }

  Stretches m_stretches;
  std::size_t m_near = 0;           ///< the stretch that was read last
  std::vector<DirectFile> m_files;  ///< of the chain, as far as they are read
  bool m_tracks;
  std::atomic<bool> m_stopped = false;
  DirectReads m_direct;
};

DirectFile open_both(const fs::path& file) {
  DirectFile opened{base::open_file(file, O_RDONLY), {}};
  opened.direct = base::UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
  if (!opened.direct) drop_cache(file);
  return opened;
}

}  // namespace

std::unique_ptr<ports::BlockSource> open_mapped(const fs::path& image, std::uint32_t depth) {
  std::optional<Stretches> stretches = map_of(image, depth);
  if (!stretches) return nullptr;
  std::vector<DirectFile> files;
  std::uint32_t needed = 1;
  for (std::size_t n = 0; n < stretches->size(); ++n) {
    const Stretch stretch = (*stretches)[n];
    if (!stretch.zero && stretch.changed) needed = std::max(needed, stretch.file + 1);
  }
  if (needed == 1) {
    files.push_back(open_both(image));
  } else {
    for (const qemu_img::Info& file : qemu_img::chain(image)) {
      if (file.format != "qcow2" && file.format != "raw") return nullptr;
      files.push_back(open_both(file.file));
    }
  }
  return std::make_unique<MappedSource>(std::move(*stretches), std::move(files), depth != 0);
}

void drop_cache(const fs::path& file) {
  const base::UniqueFd fd = base::open_file(file, O_RDONLY);
  base::sync_fd(fd.get(), file.string());
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);  // where it can't, the cache is compared
}

}  // namespace umbra::nbd
