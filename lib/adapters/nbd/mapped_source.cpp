// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/mapped_source.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "adapters/nbd/file_reads.hpp"
#include "adapters/nbd/process.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using nlohmann::json;
using ports::Extent;
using ports::Range;

/// A piece of the disk: zeroes, or bytes of the chain's nth file from `place` on.
struct Piece {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t place = 0;
  std::uint32_t file = 0;
  bool zero = false;
  bool changed = false;
};

/// Nothing where a piece has no place of its own.
std::optional<Piece> piece_of(const json& entry, std::uint32_t depth) {
  Piece piece;
  piece.offset = entry.at("start").get<std::uint64_t>();
  piece.length = entry.at("length").get<std::uint64_t>();
  piece.file = entry.at("depth").get<std::uint32_t>();
  piece.zero = entry.at("zero").get<bool>();
  piece.changed = depth == 0 || (entry.at("present").get<bool>() && piece.file < depth);
  if (piece.zero) return piece;
  if (!entry.at("data").get<bool>() || !entry.contains("offset")) return std::nullopt;
  piece.place = entry["offset"].get<std::uint64_t>();
  return piece;
}

/// The whole disk, without gaps; nothing where qemu-img can't tell.
std::optional<std::vector<Piece>> map_of(const fs::path& image, std::uint32_t depth) {
  const ToolResult told = run_tool({"qemu-img", "map", "--output=json", "-f", "qcow2", image.string()});
  if (told.status != 0) return std::nullopt;
  try {
    std::vector<Piece> pieces;
    std::uint64_t end = 0;
    for (const json& entry : json::parse(told.out)) {
      const std::optional<Piece> piece = piece_of(entry, depth);
      if (!piece || piece->offset != end) return std::nullopt;
      end += piece->length;
      pieces.push_back(*piece);
    }
    return pieces;
  } catch (const json::exception&) {
    return std::nullopt;  // cut short: there is more of it than is kept
  }
}

class MappedSource final : public ports::BlockSource {
 public:
  MappedSource(std::vector<Piece> pieces, std::vector<base::UniqueFd> files, bool tracks)
      : m_pieces(std::move(pieces)), m_files(std::move(files)), m_tracks(tracks) {}

  model::ByteCount size() const override {
    return {m_pieces.empty() ? 0 : m_pieces.back().offset + m_pieces.back().length};
  }
  bool tracks_changes() const override { return m_tracks; }
  bool stands_alone() const override { return true; }
  void stop() noexcept override { m_reads.stop(); }

  void each_extent(const std::function<void(const Extent&)>& each) override {
    for (const Piece& piece : m_pieces) each({piece.offset, piece.length, piece.zero, piece.changed});
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

 private:
  void fill(const Range& range, std::span<std::byte> buffer) const {
    const auto holds_start = [&](std::uint64_t at, const Piece& piece) { return at < piece.offset + piece.length; };
    auto piece = std::upper_bound(m_pieces.begin(), m_pieces.end(), range.offset, holds_start);
    for (std::uint64_t at = range.offset; !buffer.empty(); ++piece) {
      if (piece == m_pieces.end()) throw Error(Kind::io, fmt::format("read at offset {}, past the disk's end", at));
      const std::uint64_t within = at - piece->offset;
      const auto part = buffer.first(std::min<std::uint64_t>(buffer.size(), piece->length - within));
      if (piece->zero)
        std::fill(part.begin(), part.end(), std::byte{0});
      else
        read_file(m_files.at(piece->file).get(), piece->place + within, part, at);
      at += part.size();
      buffer = buffer.subspan(part.size());
    }
  }

  /// Past a file's end there are zeroes, as QEMU has it.
  static void read_file(int fd, std::uint64_t place, std::span<std::byte> part, std::uint64_t at) {
    while (!part.empty()) {
      const ssize_t n = ::pread(fd, part.data(), part.size(), static_cast<off_t>(place));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw base::from_errno(errno, fmt::format("read at offset {}", at));
      if (n == 0) {
        std::fill(part.begin(), part.end(), std::byte{0});
        return;
      }
      place += static_cast<std::uint64_t>(n);
      part = part.subspan(static_cast<std::size_t>(n));
    }
  }

  std::vector<Piece> m_pieces;
  std::vector<base::UniqueFd> m_files;  ///< of the chain, as far as they are read
  bool m_tracks;
  FileReads m_reads;
};

}  // namespace

std::unique_ptr<ports::BlockSource> open_mapped(const fs::path& image, std::uint32_t depth) {
  std::optional<std::vector<Piece>> pieces = map_of(image, depth);
  if (!pieces) return nullptr;
  std::vector<base::UniqueFd> files;
  std::uint32_t needed = 1;
  for (const Piece& piece : *pieces)
    if (!piece.zero && piece.changed) needed = std::max(needed, piece.file + 1);
  if (needed == 1) {
    files.push_back(base::open_file(image, O_RDONLY));
  } else {
    for (const qemu_img::Info& file : qemu_img::chain(image)) {
      if (file.format != "qcow2" && file.format != "raw") return nullptr;
      files.push_back(base::open_file(file.file, O_RDONLY));
    }
  }
  return std::make_unique<MappedSource>(std::move(*pieces), std::move(files), depth != 0);
}

}  // namespace umbra::nbd
