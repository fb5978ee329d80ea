// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "adapters/nbd/cluster_map.hpp"
#include "adapters/nbd/process.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "base/error.hpp"
#include "base/paged_list.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using nlohmann::json;

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
        {m_end, *e.length, e.offset.value_or(0), file, *e.zero, m_depth == 0 || (*e.present && file < m_depth), false});
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

class ToldMap final : public ClusterMap {
 public:
  ToldMap(Stretches stretches, std::vector<fs::path> files)
      : m_stretches(std::move(stretches)), m_files(std::move(files)) {}

  model::ByteCount size() const override { return {m_stretches.empty() ? 0 : m_stretches.back().end()}; }
  const fs::path& file(std::uint32_t nth) const override { return m_files.at(nth); }

  /// Mostly the last stretch, or the next: what asks rises.
  Stretch at(std::uint64_t offset) override {
    for (std::size_t n = m_near; n < std::min(m_near + 4, m_stretches.size()); ++n) {
      const Stretch stretch = m_stretches[n];
      if (stretch.offset <= offset && offset < stretch.end()) return m_near = n, stretch;
    }
    std::size_t first = 0;
    for (std::size_t left = m_stretches.size(); left > 0;) {
      const std::size_t half = left / 2;
      const bool ends_before = m_stretches[first + half].end() <= offset;
      first += ends_before ? half + 1 : 0;
      left = ends_before ? left - half - 1 : half;
    }
    return m_stretches[m_near = first];
  }

 private:
  Stretches m_stretches;
  std::size_t m_near = 0;         ///< the stretch that was asked for last
  std::vector<fs::path> m_files;  ///< of the chain, as far as they are read
};

}  // namespace

std::unique_ptr<ClusterMap> map_told_by_qemu(const fs::path& image, std::uint32_t depth) {
  std::optional<Stretches> stretches = map_of(image, depth);
  if (!stretches) return nullptr;
  std::uint32_t needed = 1;
  for (std::size_t n = 0; n < stretches->size(); ++n) {
    const Stretch stretch = (*stretches)[n];
    if (!stretch.zero && stretch.changed) needed = std::max(needed, stretch.file + 1);
  }
  std::vector<fs::path> files{image};
  if (needed > 1) {
    files.clear();
    for (const qemu_img::Info& file : qemu_img::chain(image)) {
      if (file.format != "qcow2" && file.format != "raw") return nullptr;
      files.emplace_back(file.file);
    }
  }
  return std::make_unique<ToldMap>(*std::move(stretches), std::move(files));
}

}  // namespace umbra::nbd
