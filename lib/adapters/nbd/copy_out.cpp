// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/copy_out.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>

#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/verify.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;

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

std::vector<std::string> export_disks(const ShadowFolder& folder, const StoredPoint& point, const std::string& target) {
  const model::Manifest manifest = folder.manifest(point);
  const std::vector<DiskToExport> disks = disks_to_export(point, manifest, fs::path(target).lexically_normal());
  const auto made = [&](const DiskToExport& disk) {
    return disk.to.parent_path() / fmt::format(".umbra-export-{}-{}", folder.id().get(), disk.to.filename().string());
  };
  std::vector<std::string> files;  // under their names
  base::or_undo(
      [&] {
        for (const DiskToExport& disk : disks) {
          fs::remove(made(disk));  // of an export that was cut short; the folder's lock is held
          copy_out(disk.layer, disk.manifest, made(disk), folder.cancel());
        }
        for (const DiskToExport& disk : disks) {
          name_it(made(disk), disk.to);
          files.push_back(disk.to);
        }
        base::sync_dir(disks.front().to.parent_path());
      },
      [&] {  // a disk without its others is no machine's
        for (const DiskToExport& disk : disks) fs::remove(made(disk));
        for (const std::string& file : files) fs::remove(file);
      });
  return files;
}

}  // namespace umbra::nbd
