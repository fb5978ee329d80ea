// SPDX-License-Identifier: Apache-2.0
// point.json, by example, in one line, with its digest in a second one (checked_line.hpp):
//   {"vm":"web1","number":17,"root":"sha256:…","parent":16,"taken_at":"2026-11-24T10:00:00Z","checkpoint":"umbra-17-5f0c2a91","activity":"",
//    "read_back":true,
//    "parts":[{"name":"vda","size":1073741824,"layer":"vda.qcow2","bytes":196624,"modified_ns":1795514400000000000},
//             {"name":"memory","size":4096,"layer":"memory","bytes":4096,"modified_ns":1795514400000000000}]}
// A layer is given relative to the point's folder while it lies in the shadow's, else absolute. "bytes" and
// "modified_ns" are the file's when the point was committed. "read_back": the point's own layers were read back since
// they were written, and equal the manifest; adopted disks count as read: the manifest is of what passes read from
// them.

#include <fmt/core.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "adapters/nbd/checked_line.hpp"
#include "adapters/nbd/descriptions.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "base/error.hpp"

#include <sys/stat.h>

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using nlohmann::json;

model::ByteCount occupied(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return {};  // a lost layer is verification's to tell
  return {static_cast<std::uint64_t>(status.st_blocks) * 512};
}

std::optional<FileStamp> parse_stamp(const json& part) {
  if (!part.contains("modified_ns")) return std::nullopt;
  return FileStamp{part.at("bytes").get<std::uint64_t>(), part.at("modified_ns").get<std::int64_t>()};
}

StoredPoint parse(const json& value, const fs::path& dir) {
  StoredPoint point;
  point.info.number = {value.at("number").get<std::uint64_t>()};
  point.parent = {value.at("parent").get<std::uint64_t>()};
  point.vm = model::VmName(value.value("vm", ""));
  point.activity = value.value("activity", "");
  point.info.read_back = value.value("read_back", false);
  const auto root = base::Digest::parse(value.at("root").get<std::string>());
  const auto taken_at = base::parse_rfc3339(value.at("taken_at").get<std::string>());
  if (!root || !taken_at) throw Error(Kind::corrupt, "the root or the time has a wrong form");
  point.info.root = *root;
  point.info.taken_at = *taken_at;
  point.info.checkpoint = value.value("checkpoint", "");
  for (const json& part : value.at("parts")) {
    const model::DiskName name(part.at("name").get<std::string>());
    check_name(name.get(), "a part's name");
    point.info.parts.push_back({name, {part.at("size").get<std::uint64_t>()}});
    const fs::path layer = (dir / part.at("layer").get<std::string>()).lexically_normal();
    point.info.layers.push_back(layer);
    point.stamps.push_back(parse_stamp(part));
    point.info.bytes += occupied(layer);
  }
  return point;
}

}  // namespace

std::optional<FileStamp> stamp_of(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return std::nullopt;
  return FileStamp{static_cast<std::uint64_t>(status.st_size),
                   std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

void write_point_file(const fs::path& dir, const ShadowFolder& folder, const StoredPoint& point) {
  json parts = json::array();
  for (std::size_t i = 0; i < point.info.parts.size(); ++i) {
    const fs::path layer = point.info.layers.at(i);
    const fs::path shown = folder.holds(layer) ? layer.lexically_relative(folder.point_dir(point.info.number)) : layer;
    parts.push_back({{"name", point.info.parts[i].name.get()},
                     {"size", point.info.parts[i].size.value},
                     {"layer", shown.string()}});
    // `dir` may bear another name than the point's folder yet; it lies beside it.
    if (const auto stamp = stamp_of(dir / shown)) {
      parts.back()["bytes"] = stamp->bytes;
      parts.back()["modified_ns"] = stamp->modified_ns;
    }
  }
  json value{{"number", point.info.number.value},   {"root", point.info.root.to_string()},
             {"parent", point.parent.value},        {"taken_at", base::to_rfc3339(point.info.taken_at)},
             {"checkpoint", point.info.checkpoint}, {"activity", point.activity},
             {"read_back", point.info.read_back},   {"parts", parts}};
  if (!point.vm.get().empty()) value["vm"] = point.vm.get();
  base::write_file_atomic(dir / point_file, with_digest(value.dump()));
  if (dir == folder.point_dir(point.info.number)) write_copy(folder, point.info.number);
}

StoredPoint read_point_file(const fs::path& file) {
  return read_point_file(file, file.parent_path());
}

StoredPoint read_point_file(const fs::path& file, const fs::path& dir) {
  try {
    return parse(json::parse(checked_line(base::read_text_file(file))), dir);
  } catch (const json::exception& e) {
    throw Error(Kind::corrupt, fmt::format("{} is no point's description: {}", file.string(), e.what()));
  } catch (Error& e) {
    e.add_context(file.string());
    throw;
  }
}

}  // namespace umbra::nbd
