// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/copy_out.hpp"

#include <fcntl.h>
#include <fmt/core.h>

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

/// Under its name at last, never over another file.
void name_it(const fs::path& made, const fs::path& to) {
  if (::renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0)
    return base::sync_dir(to.parent_path());
  const int error = errno;
  fs::remove(made);
  if (error == EEXIST) refuse_existing(to);
  throw base::from_errno(error, fmt::format("name {}", to.string()));
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
  std::vector<std::string> files;
  for (const DiskToExport& disk : disks_to_export(point, manifest, fs::path(target).lexically_normal())) {
    const fs::path made =
        disk.to.parent_path() / fmt::format(".umbra-export-{}-{}", folder.id().get(), disk.to.filename().string());
    fs::remove(made);  // of an export that was cut short; the folder's lock is held
    copy_out(disk.layer, disk.manifest, made, folder.cancel());
    name_it(made, disk.to);
    files.push_back(disk.to);
  }
  return files;
}

}  // namespace umbra::nbd
