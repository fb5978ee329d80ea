// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/verify.hpp"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "adapters/nbd/mapped_source.hpp"
#include "adapters/nbd/nbd_source.hpp"
#include "adapters/nbd/qemu_nbd.hpp"
#include "adapters/nbd/sector.hpp"
#include "base/fd.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using model::block_size;
using ports::Extent;
using ports::Range;

constexpr std::size_t most_mismatches = 1000;
constexpr std::uint64_t most_range = 256u << 10;

enum class Look : char { none, zero, read };

class PartCheck {
 public:
  PartCheck(const model::PartManifest& expected, model::VerifyReport& report)
      : m_expected(expected),
        m_size(expected.part.size.value),
        m_looks(expected.blocks.size(), Look::none),
        m_report(report) {}

  /// Compares all that `source` shows, or, of a source that tells changes, those.
  void run(ports::BlockSource& source) {
    look(source);
    compare_with(source);
  }

  /// Notes which blocks are to be compared.
  void look(ports::BlockSource& source) {
    source.each_extent([&](const Extent& e) { note(e); });
  }

  void compare_with(ports::BlockSource& source) {
    // qemu-nbd shows a raw file in whole sectors.
    const std::uint64_t shown = source.size().value;
    if (shown < m_size || shown >= m_size + sector) {
      add(0, fmt::format("the size is {} bytes, not {}", shown, m_size));
      return;
    }
    for (std::uint64_t block = 0; block < m_looks.size(); ++block) {
      if (m_looks[block] == Look::zero) compare(block, base::Digest{});
    }
    read(source);
  }

 private:
  void note(const Extent& e) {
    if (!e.changed) return;
    const std::uint64_t end = std::min(e.offset + e.length, m_size);
    for (std::uint64_t block = e.offset / block_size; block * block_size < end; ++block) {
      const std::uint64_t begin = block * block_size;
      const bool whole = e.offset <= begin && end >= std::min(begin + block_size, m_size);
      if (!e.zero || !whole)
        m_looks[block] = Look::read;
      else if (m_looks[block] == Look::none)
        m_looks[block] = Look::zero;
    }
  }

  void read(ports::BlockSource& source) {
    std::vector<Range> ranges;
    for (std::uint64_t block = 0; block < m_looks.size(); ++block) {
      if (m_looks[block] != Look::read) continue;
      const std::uint64_t offset = block * block_size;
      const std::uint64_t length = std::min(block_size, m_size - offset);
      if (!ranges.empty() && ranges.back().offset + ranges.back().length == offset && ranges.back().length < most_range)
        ranges.back().length += length;
      else
        ranges.push_back({offset, length});
    }
    std::size_t handed_over = 0;
    try {
      source.read(ranges, [&](const Range& range, std::span<const std::byte> data) {
        ++handed_over;
        for (std::uint64_t at = 0; at < range.length; at += block_size) {
          const auto block = data.subspan(at, std::min(block_size, range.length - at));
          compare((range.offset + at) / block_size, base::all_zero(block) ? base::Digest{} : base::sha256(block));
        }
      });
    } catch (const Error& e) {
      if (e.kind() != Kind::io) throw;
      add(ranges.at(handed_over).offset, fmt::format("unreadable from here on: {}", e.message()));
    }
  }

  void compare(std::uint64_t block, const base::Digest& found) {
    ++m_report.blocks_read;
    if (found != m_expected.blocks[block]) add(block * block_size, "the contents differ from the manifest");
  }

  void add(std::uint64_t offset, std::string what) {
    if (m_report.mismatches.size() < most_mismatches)
      m_report.mismatches.push_back({m_expected.part.name, offset, std::move(what)});
  }

  const model::PartManifest& m_expected;
  std::uint64_t m_size;
  std::vector<Look> m_looks;
  model::VerifyReport& m_report;
};

/// What the kernel holds of a file that was written to the disk goes, so that a reader sees the disk.
void drop_cache(const fs::path& file) {
  const base::UniqueFd fd = base::open_file(file, O_RDONLY);
  base::sync_fd(fd.get(), file.string());
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);  // where it can't, the cache is compared
}

/// How many files of a chain are looked at, the first included; 0 for all that the chain shows.
using Depth = std::uint32_t;
constexpr Depth all_of_it = 0;
constexpr Depth own = 1;

/// A layer as a guest would read it, which tells the blocks that its first `depth` files hold. A memory image is one
/// file, and tells all.
class Layer {
 public:
  Layer(const fs::path& file, const model::Part& part, Depth depth) {
    if (!part.is_memory()) m_source = open_mapped(file, depth);
    if (m_source) return;
    auto server = std::make_shared<QemuNbd>(options(file, part, depth));
    const std::string context = tells_depth(part, depth) ? "qemu:allocation-depth" : "";
    Connection connection;
    prepare(connection, context);
    server->connect(connection);
    m_source = std::make_unique<NbdSource>(std::move(connection), context, std::any(std::move(server)));
  }
  ports::BlockSource& source() { return *m_source; }

 private:
  static bool tells_depth(const model::Part& part, Depth depth) { return depth != all_of_it && !part.is_memory(); }
  static ServeOptions options(const fs::path& file, const model::Part& part, Depth depth) {
    ServeOptions options{.path = file, .format = part.is_memory() ? "raw" : "qcow2"};
    if (tells_depth(part, depth)) {
      options.allocation_depth = true;
      options.description = depth_description(depth + 1);  // what lies above the file of that depth
    }
    return options;
  }

  std::unique_ptr<ports::BlockSource> m_source;
};

void verify_point(const ShadowFolder& folder, const StoredPoint& point, Depth depth, model::VerifyReport& report) {
  const model::Manifest manifest = folder.manifest(point);
  for (std::size_t i = 0; i < manifest.parts.size(); ++i) {
    const model::PartManifest& part = manifest.parts[i];
    const fs::path file = point.info.layers.at(i);
    if (depth == own) drop_cache(file);
    Layer layer(file, part.part, depth);
    PartCheck(part, report).run(layer.source());
  }
}

std::optional<fs::path> changed_layer(const StoredPoint& point) {
  for (std::size_t i = 0; i < point.info.layers.size(); ++i) {
    if (point.stamps.at(i) && stamp_of(point.info.layers[i]) != point.stamps[i]) return point.info.layers[i];
  }
  return std::nullopt;
}

}  // namespace

model::VerifyReport verify_whole(const ShadowFolder& folder, model::PointNumber number) {
  model::VerifyReport report;
  verify_point(folder, folder.point(number), all_of_it, report);
  return report;
}

model::VerifyReport verify_unread(const ShadowFolder& folder, model::PointNumber number) {
  (void)folder.point(number);  // it must be there
  model::VerifyReport all;
  for (StoredPoint& point : folder.points()) {
    if (point.info.read_back || point.info.number > number) continue;
    model::VerifyReport report;
    verify_point(folder, point, own, report);
    all.blocks_read += report.blocks_read;
    for (model::Mismatch& mismatch : report.mismatches) {
      if (all.mismatches.size() == most_mismatches) break;
      mismatch.what = fmt::format("{} of point {}", mismatch.what, point.info.number.value);
      all.mismatches.push_back(std::move(mismatch));
    }
    if (!report.sound()) continue;
    point.info.read_back = true;
    write_point_file(folder.point_dir(point.info.number), folder, point);
  }
  return all;
}

model::VerifyReport verify_merged(const model::PartManifest& expected, const fs::path& top, std::uint32_t layers,
                                  const fs::path& merged) {
  model::VerifyReport report;
  PartCheck check(expected, report);
  {
    Layer layer(top, expected.part, layers);
    check.look(layer.source());
  }
  drop_cache(merged);
  Layer layer(merged, expected.part, all_of_it);
  check.compare_with(layer.source());
  return report;
}

void require_untouched(const ShadowFolder& folder) {
  for (const StoredPoint& point : folder.points()) {
    const std::optional<fs::path> changed = changed_layer(point);
    if (!changed) continue;
    model::VerifyReport report;
    verify_point(folder, point, own, report);
    if (!report.sound())
      throw Error(
          Kind::corrupt,
          fmt::format("{} was written to after it had become a layer of point {} of shadow {}: {} blocks differ "
                      "from its manifest",
                      changed->string(), point.info.number.value, folder.id().get(), report.mismatches.size()),
          fmt::format("if {0} was started from it by hand, save what it wrote; then make the shadow anew: "
                      "umbra switchover {0} --decommission where {0} ran there before, else umbra shadow {0} --drop",
                      base::shell_word(folder.vm())));
    base::log(base::Level::info, fmt::format("{} has another time than when point {} was committed, its contents are "
                                             "the same",
                                             changed->string(), point.info.number.value));
    write_point_file(folder.point_dir(point.info.number), folder, point);
  }
}

}  // namespace umbra::nbd
