// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/damage.hpp"

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <set>

#include "adapters/nbd/manifest_file.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/verify.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/log.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using nlohmann::json;

constexpr std::string_view found_file = "found.json";
constexpr std::string_view found_suffix = ".found";

fs::path found_digests(const fs::path& dir, const model::DiskName& part) {
  return dir / (part.get() + std::string(found_suffix));
}

/// Every file that the parts are read from.
std::set<fs::path> files_below(const StoredPoint& point) {
  std::set<fs::path> files;
  for (std::size_t i = 0; i < point.info.parts.size(); ++i) {
    if (point.info.parts[i].is_memory())
      files.insert(point.info.layers.at(i));
    else
      for (const qemu_img::Info& file : qemu_img::chain(point.info.layers.at(i))) files.insert(file.file);
  }
  return files;
}

void forget_found(const ShadowFolder& folder, model::PointNumber point) {
  const fs::path dir = folder.point_dir(point);
  fs::remove(dir / found_file);  // first: without it the others are nothing
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() == found_suffix) fs::remove(entry.path());
  }
  base::sync_dir(dir);
}

bool as_it_was(const json& file) {
  const auto now = stamp_of(file.at("path").get<std::string>());
  return now == FileStamp{file.at("bytes").get<std::uint64_t>(), file.at("modified_ns").get<std::int64_t>()};
}

/// The note, where it is there and whole.
std::optional<json> note_of(const fs::path& dir) {
  if (!fs::exists(dir / found_file)) return std::nullopt;
  json note = json::parse(base::read_text_file(dir / found_file), nullptr, false);
  if (!note.is_object() || !note.contains("root") || !note.contains("files")) return std::nullopt;
  return note;
}

std::optional<Found> parse_found(const fs::path& dir, const StoredPoint& point, const json& note,
                                 const base::CancelToken* cancel) {
  Found found{point, {}};
  found.point.info.parts.clear();
  found.point.info.layers.clear();
  found.point.stamps.clear();
  for (std::size_t i = 0; i < point.info.parts.size(); ++i) {
    const model::Part& part = point.info.parts[i];
    if (!fs::exists(found_digests(dir, part.name))) continue;
    found.manifest.parts.push_back(read_manifest_file(found_digests(dir, part.name), part, cancel));
    found.point.info.parts.push_back(part);
    found.point.info.layers.push_back(point.info.layers.at(i));
    found.point.stamps.push_back(point.stamps.at(i));
  }
  found.point.info.root = model::root_of(found.manifest);
  if (found.manifest.parts.empty()) return std::nullopt;
  if (found.point.info.root.to_string() != note.at("root").get<std::string>()) return std::nullopt;
  for (const json& file : note.at("files")) {
    if (!as_it_was(file)) return std::nullopt;
  }
  return found;
}

}  // namespace

std::string damage_told_in(const fs::path& dir) {
  if (!fs::exists(dir / damaged_file)) return {};
  std::string text;
  try {
    text = base::read_text_file(dir / damaged_file);
  } catch (const Error&) {
    // That the mark is there is what counts.
  }
  text = text.substr(0, text.find('\n'));
  return text.empty() ? "it was found to be damaged" : text;
}

void mark_damaged(const ShadowFolder& folder, model::PointNumber point, const std::string& what) {
  const fs::path dir = folder.point_dir(point);
  if (damage_told_in(dir) == what || !fs::exists(dir)) return;
  base::write_file_atomic(dir / damaged_file, what + "\n");
  base::log(base::Level::warning,
            fmt::format("point {} of shadow {} is damaged: {}", point.value, folder.id().get(), what));
}

void clear_damage(const ShadowFolder& folder, model::PointNumber point) {
  forget_found(folder, point);
  fs::remove(folder.point_dir(point) / damaged_file);
  base::sync_dir(folder.point_dir(point));
}

void write_found(const ShadowFolder& folder, const Found& found) {
  const model::PointNumber number = found.point.info.number;
  const fs::path dir = folder.point_dir(number);
  forget_found(folder, number);
  for (const model::PartManifest& part : found.manifest.parts)
    write_manifest_file(found_digests(dir, part.part.name), part, folder.cancel());
  json files = json::array();
  for (const fs::path& file : files_below(found.point)) {
    const auto stamp = stamp_of(file);
    if (!stamp) throw Error(Kind::not_found, fmt::format("{} vanished while it was read", file.string()));
    files.push_back({{"path", file.string()}, {"bytes", stamp->bytes}, {"modified_ns", stamp->modified_ns}});
  }
  base::write_file_atomic(dir / found_file,
                          json{{"root", model::root_of(found.manifest).to_string()}, {"files", files}}.dump() + "\n");
}

std::optional<Found> read_found(const ShadowFolder& folder, const StoredPoint& point) {
  if (!point.readable || point.info.sound()) return std::nullopt;
  const fs::path dir = folder.point_dir(point.info.number);
  try {
    const auto note = note_of(dir);
    return note ? parse_found(dir, point, *note, folder.cancel()) : std::nullopt;
  } catch (const json::exception&) {
    return std::nullopt;  // the note itself is damaged: the point is read anew
  } catch (const Error& e) {
    if (e.kind() != Kind::corrupt && e.kind() != Kind::io) throw;
    return std::nullopt;
  }
}

void note_files(const ShadowFolder& folder, const StoredPoint& point) {
  try {
    write_found(folder, {point, {}});
  } catch (const Error& e) {
    if (!is_damage(e)) throw;
    forget_found(folder, point.info.number);
  }
}

bool changed_since_found(const ShadowFolder& folder, const StoredPoint& point) {
  try {
    const auto note = note_of(folder.point_dir(point.info.number));
    return note && !std::ranges::all_of(note->at("files"), as_it_was);
  } catch (const json::exception&) {
    return true;
  }
}

}  // namespace umbra::nbd
