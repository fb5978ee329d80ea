// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/copy_out.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

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

struct DiskToExport {
  const model::PartManifest& manifest;
  fs::path layer;
  fs::path to;
};

void refuse_existing(const fs::path& to) {
  if (fs::symlink_status(to).type() == fs::file_type::not_found) return;
  throw Error(Kind::refused, fmt::format("{} is there already", to.string()), "give another name, or remove it first");
}

std::vector<DiskToExport> disks_to_export(const StoredPoint& point, const model::Manifest& manifest,
                                          const fs::path& target) {
  if (!target.is_absolute()) throw Error(Kind::invalid, fmt::format("{} is no absolute path", target.string()));
  std::vector<DiskToExport> disks;
  for (std::size_t i = 0; i < manifest.parts.size(); ++i) {
    const model::Part& part = manifest.parts[i].part;
    if (part.is_memory()) continue;
    const bool folder = fs::is_directory(target);
    disks.push_back(
        {manifest.parts[i], point.info.layers.at(i), folder ? target / (part.name.get() + ".qcow2") : target});
  }
  if (disks.size() > 1 && !fs::is_directory(target))
    throw Error(Kind::refused,
                fmt::format("point {} has {} disks, and {} is no folder", point.info.number.value, disks.size(),
                            target.string()),
                "name a folder that is there");
  for (const DiskToExport& disk : disks) refuse_existing(disk.to);
  return disks;
}

/// Where a file system can't name a file but over another: a second name, else a place that is held meanwhile. 0, or
/// why it failed.
int name_without_replacing(const fs::path& made, const fs::path& to) {
  if (::link(made.c_str(), to.c_str()) == 0) {
    ::unlink(made.c_str());
    return 0;
  }
  if (errno == EEXIST) return EEXIST;
  const base::UniqueFd place(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!place || ::rename(made.c_str(), to.c_str()) == 0) return place ? 0 : errno;
  const int error = errno;
  ::unlink(to.c_str());
  return error;
}

/// Under its name at last, never over another file.
void name_it(const fs::path& made, const fs::path& to) {
  int error = 0;
  if (::renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) != 0) error = errno;
  if (error == EINVAL || error == ENOSYS || error == EOPNOTSUPP) error = name_without_replacing(made, to);
  if (error == EEXIST) refuse_existing(to);
  if (error != 0) throw base::from_errno(error, fmt::format("name {}", to.string()));
}

}  // namespace

void copy_out(const fs::path& layer, const model::PartManifest& expected, const fs::path& to,
              const base::CancelToken* cancel) {
  base::or_undo(
      [&] {
        qemu_img::convert(layer, to);
        const model::VerifyReport report = verify_part(expected, to, cancel);
        if (!report.sound())
          throw Error(Kind::corrupt,
                      fmt::format("what was copied from {} differs from its manifest: {}", layer.string(),
                                  model::first_of(report)),
                      "check that host's storage");
        base::sync_fd(base::open_file(to, O_RDONLY).get(), to.string());
      },
      [&] { fs::remove(to); });
}

namespace {

/// Files of one export, copied and compared. Names in a folder are given one after the other: a note beside them tells
/// which ones belong together from before the first is given until after the last, so that what a killed process has
/// named of them is no machine's for good.
class Naming {
 public:
  Naming(const ShadowFolder& folder, const fs::path& target)
      : m_target(target), m_prefix(fmt::format(".umbra-export-{}", folder.id().get())) {}

  /// Where the disk is written before it gets its name.
  fs::path made(const DiskToExport& disk) const { return made(disk.to.filename()); }

  /// Takes back what an export that was cut short has named: the files that it made, as it left them.
  void undo_cut() const {
    remove_half_notes();
    if (!fs::exists(note())) return;
    const json cut = json::parse(base::read_text_file(note()), nullptr, false);
    std::vector<fs::path> named;
    std::size_t all = 0;
    for (const json& file : cut.is_array() ? cut : json::array()) {
      if (!file.is_object()) continue;
      const fs::path to = m_target / fs::path(file.value("name", "")).filename();
      ++all;
      if (tell(to) == file) named.push_back(to);
    }
    if (named.size() < all) {
      for (const fs::path& file : named) {
        base::log(base::Level::warning,
                  fmt::format("{} is removed: it is of an export that was cut short before all of its {} disks had "
                              "their names",
                              file.string(), all));
        fs::remove(file);
      }
    }
    remove_note();
  }

  /// The files under their names at last: all of them or none.
  void give_names(const std::vector<DiskToExport>& disks) const {
    const bool belong_together = disks.size() > 1;
    std::vector<fs::path> given;
    base::or_undo(
        [&] {
          if (belong_together) write_note(disks);
          for (const DiskToExport& disk : disks) {
            name_it(made(disk), disk.to);
            given.push_back(disk.to);
          }
          base::sync_dir(m_target);
          if (belong_together) remove_note();
        },
        [&] {
          for (const fs::path& file : given) fs::remove(file);
          if (belong_together) remove_note();
        });
  }

 private:
  fs::path made(const fs::path& name) const { return m_target / fmt::format("{}-{}", m_prefix, name.string()); }
  fs::path note() const { return m_target / fmt::format("{}.json", m_prefix); }

  /// What tells a file from one that has come to bear its name, or that was written to.
  json tell(const fs::path& file) const {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) return nullptr;
    return {{"name", file.filename().string()},
            {"inode", status.st_ino},
            {"bytes", status.st_size},
            {"modified", {status.st_mtim.tv_sec, status.st_mtim.tv_nsec}}};
  }

  void write_note(const std::vector<DiskToExport>& disks) const {
    json files = json::array();
    for (const DiskToExport& disk : disks) {
      files.push_back(tell(made(disk)));
      files.back()["name"] = disk.to.filename().string();
    }
    base::write_file_atomic(note(), files.dump() + "\n");
  }

  /// Of processes that were killed as they wrote one: the folder's lock is held, so no other does.
  void remove_half_notes() const {
    if (!fs::is_directory(m_target)) return;
    const std::string half = note().filename().string() + ".tmp.";
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(m_target)) {
      if (entry.path().filename().string().starts_with(half)) found.push_back(entry.path());
    }
    for (const fs::path& file : found) fs::remove(file);
  }

  void remove_note() const {
    if (fs::remove(note())) base::sync_dir(m_target);
  }

  fs::path m_target;
  std::string m_prefix;
};

}  // namespace

std::vector<std::string> export_disks(const ShadowFolder& folder, const StoredPoint& point, const std::string& target) {
  const model::Manifest manifest = folder.manifest(point);
  const fs::path normal = fs::path(target).lexically_normal();
  const Naming naming(folder, fs::is_directory(normal) ? normal : normal.parent_path());
  naming.undo_cut();
  const std::vector<DiskToExport> disks = disks_to_export(point, manifest, normal);
  base::or_undo(
      [&] {
        for (const DiskToExport& disk : disks) {
          fs::remove(naming.made(disk));  // of an export that was cut short; the folder's lock is held
          copy_out(disk.layer, disk.manifest, naming.made(disk), folder.cancel());
        }
        naming.give_names(disks);
      },
      [&] {  // a disk without its others is no machine's
        for (const DiskToExport& disk : disks) fs::remove(naming.made(disk));
      });
  std::vector<std::string> files;
  for (const DiskToExport& disk : disks) files.push_back(disk.to);
  return files;
}

}  // namespace umbra::nbd
