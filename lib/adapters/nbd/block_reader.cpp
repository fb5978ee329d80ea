// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/block_reader.hpp"

#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "adapters/nbd/nbd_source.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/qemu_nbd.hpp"
#include "base/fd.hpp"
#include "ports/read_ahead.hpp"

namespace umbra::nbd {
namespace {

constexpr std::size_t ranges_at_once = 1024;
constexpr unsigned most_failures = 512;  // of reading; after them what is left counts as unreadable

const base::CancelToken never;

void tell(const ports::Range& range, std::span<const base::Digest> digests, const BlockReader::Each& each) {
  for (std::size_t i = 0; i < digests.size(); ++i) each(range.offset / model::block_size + i, digests[i]);
}

bool tells_depth(const model::Part& part, Depth depth) {
  return depth != all_of_it && !part.is_memory();
}

ServeOptions serve_options(const std::filesystem::path& file, const model::Part& part, Depth depth) {
  ServeOptions options{.path = file, .format = part.is_memory() ? "raw" : "qcow2"};
  if (tells_depth(part, depth)) {
    options.allocation_depth = true;
    options.description = depth_description(depth + 1);  // what lies above the file of that depth
  }
  return options;
}

}  // namespace

/// Of all files that the part is made of.
void drop_caches(const std::filesystem::path& file, const model::Part& part) {
  if (part.is_memory()) return drop_cache(file);
  for (const qemu_img::Info& below : qemu_img::chain(file)) drop_cache(below.file);
}

/// The file opened: read by this process, where its map can be told, or through a qemu-nbd.
class BlockReader::Server {
 public:
  Server(const std::filesystem::path& file, const model::Part& part, Depth depth, std::optional<MapBy> directly) {
    if (directly && !part.is_memory()) m_source = open_mapped(file, depth, depth == own ? MapBy::qemu : MapBy::tables);
    if (m_source) return;
    drop_caches(file, part);
    auto server = std::make_shared<QemuNbd>(serve_options(file, part, depth));
    const std::string context = tells_depth(part, depth) ? "qemu:allocation-depth" : "";
    Connection connection;
    prepare(connection, context);
    server->connect(connection);
    m_source = std::make_unique<NbdSource>(std::move(connection), context, std::any(std::move(server)));
  }
  ports::BlockSource& source() { return *m_source; }

 private:
  std::unique_ptr<ports::BlockSource> m_source;
};

BlockReader::BlockReader(std::filesystem::path file, model::Part part, Depth depth, const base::CancelToken* cancel,
                         MapBy by)
    : m_file(std::move(file)), m_part(std::move(part)), m_depth(depth), m_by(by), m_cancel(cancel) {
  server();
}

BlockReader::~BlockReader() = default;

BlockReader::Server& BlockReader::server() {
  if (!m_server)
    m_server = std::make_unique<Server>(m_file, m_part, m_depth, m_directly ? std::optional(m_by) : std::nullopt);
  return *m_server;
}

void BlockReader::give_up_server() {
  m_server.reset();
  m_directly = false;
}

void BlockReader::look_at_cancel() const {
  if (m_cancel != nullptr) m_cancel->check();
}

std::uint64_t BlockReader::shown() {
  return server().source().size().value;
}

ports::BlockMap BlockReader::looks() {
  ports::BlockMap looks(m_part.size);
  Server& from = server();
  try {
    from.source().each_extent([&](const ports::Extent& extent) {
      look_at_cancel();
      if (extent.changed) looks.mark(extent);
    });
  } catch (const base::Error& e) {
    if (e.kind() != base::Kind::io) throw;
    give_up_server();
    looks.mark({0, m_part.size.value, false, true});
  }
  return looks;
}

void BlockReader::read(const ports::BlockMap& looks, const Each& each,
                       const std::function<void(std::uint64_t first, std::uint64_t count)>& zeroes) {
  for (std::uint64_t block = 0; block < looks.blocks();) {
    look_at_cancel();
    const std::uint64_t end = looks.alike_until(block);
    if (looks.at(block) == ports::BlockMap::State::zero) zeroes(block, end - block);
    block = end;
  }
  std::uint64_t block = 0;
  for (;;) {
    const std::vector<ports::Range> ranges = looks.next_data(block, ports::best_read, ranges_at_once);
    if (ranges.empty()) return;
    read_ranges(ranges, each);
  }
}

void BlockReader::read_ranges(std::span<const ports::Range> ranges, const Each& each) {
  for (std::size_t next = 0; next < ranges.size();) {
    std::size_t handed_over = 0;
    Server& from = server();
    try {
      std::vector<ports::Range> left(ranges.begin() + static_cast<std::ptrdiff_t>(next), ranges.end());
      ports::ReadAhead ahead(from.source(), [&] { return std::exchange(left, {}); });
      while (const ports::Piece* piece = ahead.take(m_cancel != nullptr ? *m_cancel : never)) {
        piece->each_range([&](const ports::Range& range, auto /*bytes*/, auto digests) {
          ++handed_over;
          tell(range, digests, each);
        });
      }
      return;
    } catch (const base::Error& e) {
      if (e.kind() != base::Kind::io) throw;
    }
    give_up_server();
    next += handed_over;
    if (next < ranges.size()) read_singly(ranges[next++], each);
  }
}

/// A range of which something could not be read. It need not have been this range's fault: others were in flight.
void BlockReader::read_singly(const ports::Range& range, const Each& each) {
  std::vector<base::Digest> digests;
  for (std::uint64_t at = 0; at < range.length; at += model::block_size) {
    const ports::Range one{range.offset + at, std::min(model::block_size, range.length - at)};
    bool handed_over = false;
    if (m_failures < most_failures) {
      Server& from = server();
      try {
        from.source().read({&one, 1}, [&](const ports::Range& r, auto data) {
          ports::digest_blocks(data, digests);
          tell(r, digests, each);
          handed_over = true;
        });
      } catch (const base::Error& e) {
        if (e.kind() != base::Kind::io) throw;
        give_up_server();
        ++m_failures;
      }
    }
    if (!handed_over) each(one.offset / model::block_size, model::unreadable_block);
  }
}

}  // namespace umbra::nbd
