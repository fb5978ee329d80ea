// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/verify.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "adapters/nbd/nbd_source.hpp"
#include "adapters/nbd/qemu_nbd.hpp"
#include "adapters/nbd/sector.hpp"
#include "base/log.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using model::block_size;
using ports::Extent;
using ports::Range;

constexpr std::size_t most_mismatches = 1000;
constexpr std::uint64_t most_range = 1u << 20;

enum class Look : char { none, zero, read };

class PartCheck {
 public:
  PartCheck(const model::PartManifest& expected, model::VerifyReport& report)
      : m_expected(expected),
        m_size(expected.part.size.value),
        m_looks(expected.blocks.size(), Look::none),
        m_report(report) {}

  void run(NbdSource& source) {
    // qemu-nbd shows a raw file in whole sectors.
    const std::uint64_t shown = source.size().value;
    if (shown < m_size || shown >= m_size + sector) {
      add(0, fmt::format("the size is {} bytes, not {}", shown, m_size));
      return;
    }
    source.each_extent([&](const Extent& e) { note(e); });
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

  void read(NbdSource& source) {
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

void verify_part(const model::PartManifest& expected, const std::string& layer, bool own_only,
                 model::VerifyReport& report) {
  ServeOptions options{.path = layer, .format = expected.part.is_memory() ? "raw" : "qcow2"};
  const bool own = own_only && !expected.part.is_memory();
  const std::string context = own ? "qemu:allocation-depth" : "";
  if (own) {
    options.allocation_depth = true;
    options.description = depth_description(2);  // what lies above the second layer is the first's own
  }
  QemuNbd server(options);
  Connection connection;
  prepare(connection, context);
  server.connect(connection);
  NbdSource source(std::move(connection), context, std::any{});
  PartCheck(expected, report).run(source);
}

std::optional<fs::path> changed_layer(const StoredPoint& point) {
  for (std::size_t i = 0; i < point.info.layers.size(); ++i) {
    if (point.stamps.at(i) && stamp_of(point.info.layers[i]) != point.stamps[i]) return point.info.layers[i];
  }
  return std::nullopt;
}

}  // namespace

model::VerifyReport verify_point(const ShadowFolder& folder, model::PointNumber number, bool own_layers_only) {
  const StoredPoint point = folder.point(number);
  const model::Manifest manifest = folder.manifest(point);
  model::VerifyReport report;
  for (std::size_t i = 0; i < manifest.parts.size(); ++i)
    verify_part(manifest.parts[i], point.info.layers.at(i), own_layers_only, report);
  return report;
}

void require_untouched(const ShadowFolder& folder) {
  for (const StoredPoint& point : folder.points()) {
    const std::optional<fs::path> changed = changed_layer(point);
    if (!changed) continue;
    const model::VerifyReport report = verify_point(folder, point.info.number, true);
    if (!report.sound())
      throw Error(
          Kind::corrupt,
          fmt::format("{} was written to after it had become a layer of point {} of shadow {}: {} blocks differ "
                      "from its manifest",
                      changed->string(), point.info.number.value, folder.id().get(), report.mismatches.size()),
          fmt::format("if {0} was started from it by hand, save what it wrote; then make the shadow anew: "
                      "umbra switchover {0} --decommission where {0} ran there before, else umbra shadow {0} --drop",
                      folder.vm().get()));
    base::log(base::Level::info, fmt::format("{} has another time than when point {} was committed, its contents are "
                                             "the same",
                                             changed->string(), point.info.number.value));
    write_point_file(folder.point_dir(point.info.number), folder, point);
  }
}

}  // namespace umbra::nbd
