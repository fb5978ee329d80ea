// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/local_points.hpp"

#include <fmt/core.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "adapters/nbd/chains.hpp"
#include "adapters/nbd/copy_out.hpp"
#include "adapters/nbd/examine.hpp"
#include "adapters/nbd/merge.hpp"
#include "adapters/nbd/point_writer.hpp"
#include "adapters/nbd/qcow2_file.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "adapters/nbd/tops.hpp"
#include "adapters/nbd/verify.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using Paths = std::map<model::DiskName, std::string>;

constexpr std::string_view made_mark = ".umbra-";

/// The empty layer of a disk, made where it is absent.
fs::path ensure_empty(const ShadowFolder& folder, const model::Part& disk) {
  const fs::path file = folder.empty_layer(disk.name);
  if (fs::exists(file)) {
    const model::ByteCount size = qemu_img::info(file).size;
    if (size == disk.size) return file;
    require_file_unused(file);
    fs::remove(file);  // the disk was resized, and this layer holds nothing
  }
  fs::create_directories(file.parent_path());
  const fs::path making = file.parent_path() / (".making-" + disk.name.get());
  fs::remove(making);
  qcow2::create(making, disk.size, std::nullopt);
  base::sync_fd(base::open_file(making, 0).get(), making.string());
  fs::rename(making, file);
  base::sync_dir(file.parent_path());
  base::sync_dir(folder.path());
  return file;
}

Paths ensure_empties(const ShadowFolder& folder, const std::vector<model::Part>& disks) {
  Paths paths;
  for (const model::Part& disk : disks) {
    if (!disk.is_memory()) paths[disk.name] = ensure_empty(folder, disk);
  }
  return paths;
}

/// Of a pooled shadow: layers of another size or name than the VM's disks give way.
void remove_misfits(const ShadowFolder& folder, const std::vector<model::Part>& disks) {
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(folder.path() / "empty", absent)) {
    const bool fits = std::any_of(disks.begin(), disks.end(), [&](const model::Part& d) {
      return folder.empty_layer(d.name) == entry.path() && qemu_img::info(entry.path()).size == d.size;
    });
    if (!fits) fs::remove(entry.path());
  }
}

/// Where a shadow's folder goes to be removed.
fs::path doomed_dir(const ShadowFolder& folder) {
  return folder.path().parent_path() / (".dropping-" + folder.id().get());
}

/// At no instant is there a shadow that lacks a part of its folder.
void remove_folder(const ShadowFolder& folder) {
  const fs::path doomed = doomed_dir(folder);
  fs::remove_all(doomed);  // of a removal that was cut short
  if (::rename(folder.path().c_str(), doomed.c_str()) != 0)
    throw base::from_errno(errno, fmt::format("remove {}", folder.path().string()));
  base::sync_dir(doomed.parent_path());
  fs::remove_all(doomed);
}

/// Layers of the points that lie elsewhere, and are still there.
std::vector<fs::path> adopted_files(const ShadowFolder& folder) {
  std::vector<fs::path> files;
  for (const StoredPoint& point : folder.points()) {
    if (!point.readable)
      throw Error(Kind::corrupt, point.info.damaged,
                  "what it adopted is not known: see it listed by umbra shadow points VM; umbra shadow VM --drop "
                  "leaves such files alone");
    for (const std::string& layer : point.info.layers) {
      if (!folder.holds(layer) && fs::exists(layer)) files.emplace_back(layer);
    }
  }
  return files;
}

/// A reader takes no lock. Where what it sees changes what is known of the point, all is read once more under the lock,
/// when nothing moves; where another run has that, it is told and not noted.
model::VerifyReport read_all(const ShadowFolder& folder, model::PointNumber number) {
  const StoredPoint stored = folder.point(number);
  const model::VerifyReport report = verify_whole(folder, stored).report;
  if (report.sound() == stored.info.sound()) return report;
  try {
    const FolderLock lock = folder.lock();
    return check_whole(folder, number);
  } catch (const Error& e) {
    if (e.kind() != Kind::busy) throw;
    base::log(base::Level::warning, fmt::format("what was found of point {} is not noted: {}", number.value, e.what()));
    return report;
  }
}

}  // namespace

LocalPoints::LocalPoints(fs::path images, const base::CancelToken* cancel)
    : m_root((fs::absolute(images) / "umbra").lexically_normal()), m_cancel(cancel) {}

void LocalPoints::require_reach(const fs::path& file) const {
  if (!m_confined) return;
  const fs::path images = fs::weakly_canonical(m_root.parent_path());
  const fs::path real = fs::weakly_canonical(file);
  if (std::mismatch(images.begin(), images.end(), real.begin(), real.end()).first == images.end()) return;
  throw Error(Kind::refused,
              fmt::format("{} lies outside of {}, which is all that is served", file.string(), images.string()));
}

Paths LocalPoints::create(const model::ShadowId& shadow, const model::VmName& vm,
                          const std::vector<model::Part>& disks) {
  return base::as_error([&]() -> Paths {
    const ShadowFolder folder = folder_of(shadow);
    if (!disks.empty()) check_parts(disks);
    fs::remove_all(doomed_dir(folder));  // of a removal that was cut short
    folder.make(vm);
    folder.require_vm(vm);
    const FolderLock lock = folder.lock();
    return ensure_empties(folder, disks);
  });
}

Paths LocalPoints::claim(const model::ShadowId& from, const model::ShadowId& to, const model::VmName& vm,
                         const std::vector<model::Part>& disks) {
  return base::as_error([&]() -> Paths {
    if (!disks.empty()) check_parts(disks);
    const ShadowFolder source = folder_of(from);
    const ShadowFolder target = folder_of(to);
    if (!source.exists() && target.exists()) return create(to, vm, disks);  // claimed before
    source.require();
    if (target.exists()) throw Error(Kind::refused, fmt::format("a shadow {} is there already", to.get()));
    const FolderLock lock = source.lock();
    if (!source.points().empty())
      throw Error(Kind::refused, fmt::format("the shadow {} holds points, it can't be handed on", from.get()));
    remove_misfits(source, disks);
    ensure_empties(source, disks);
    source.write_vm(vm);
    if (::rename(source.path().c_str(), target.path().c_str()) != 0)
      throw base::from_errno(errno, fmt::format("rename {} to {}", source.path().string(), target.path().string()));
    base::sync_dir(m_root);
    return ensure_empties(target, disks);
  });
}

void LocalPoints::drop(const model::ShadowId& shadow) {
  remove_with(shadow, [](const ShadowFolder&) { return std::vector<fs::path>(); });
}

void LocalPoints::drop_with_adopted(const model::ShadowId& shadow) {
  remove_with(shadow, adopted_files);
}

/// The shadow goes, and before it what else is asked for.
void LocalPoints::remove_with(const model::ShadowId& shadow,
                              const std::function<std::vector<fs::path>(const ShadowFolder&)>& files_of) {
  base::as_error([&] {
    const ShadowFolder folder = folder_of(shadow);
    fs::remove_all(doomed_dir(folder));
    if (!fs::exists(folder.path())) return;
    const FolderLock lock = folder.lock();
    require_unused(folder.path());
    const std::vector<fs::path> files = files_of(folder);
    for (const fs::path& file : files) {
      require_reach(file);
      require_file_unused(file);
    }
    for (const fs::path& file : files) fs::remove(file);  // first: where it is cut, the shadow still names them
    remove_folder(folder);
  });
}

void LocalPoints::take_back(const model::ShadowId& shadow) {
  base::as_error([&] {
    const ShadowFolder folder(m_root, shadow);
    if (!fs::exists(folder.path())) return;
    const FolderLock lock = folder.lock();
    if (folder.last_number().value != 0) return;
    for (const std::string_view what : {"incoming-", "top-"}) {
      if (!folders(folder, what).empty()) return;
    }
    remove_folder(folder);
    ::rmdir(m_root.c_str());  // where it was made for this one
  });
}

std::vector<model::ShadowId> LocalPoints::shadows() {
  return base::as_error([&]() -> std::vector<model::ShadowId> {
    return list([](const model::ShadowId& shadow, const Error& e) {
      base::log(base::Level::warning, fmt::format("the shadow {} is passed by: {}", shadow.get(), e.what()));
    });
  });
}

/// Those that are there, by name; those that may be, and can't be looked at, are told.
std::vector<model::ShadowId> LocalPoints::list(
    const std::function<void(const model::ShadowId&, const Error&)>& unreadable) const {
  if (!fs::exists(m_root)) return {};
  std::vector<model::ShadowId> found;
  for (const auto& entry : fs::directory_iterator(m_root)) {
    const std::string name = entry.path().filename();
    if (name[0] == '.') continue;
    const model::ShadowId shadow(name);
    try {
      if (base::as_error([&] { return folder_of(shadow).exists(); })) found.push_back(shadow);
    } catch (const Error& e) {
      unreadable(shadow, e);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<model::PointInfo> LocalPoints::points(const model::ShadowId& shadow) {
  return base::as_error([&]() -> std::vector<model::PointInfo> {
    std::vector<model::PointInfo> infos;
    for (StoredPoint& point : folder_of(shadow).points()) infos.push_back(std::move(point.info));
    return infos;
  });
}

model::Manifest LocalPoints::manifest(const model::ShadowId& shadow, model::PointNumber point) {
  return base::as_error([&]() -> model::Manifest {
    const ShadowFolder folder = folder_of(shadow);
    return folder.manifest(folder.point(point));
  });
}

std::string LocalPoints::activity(const model::ShadowId& shadow, model::PointNumber point) {
  return base::as_error([&]() -> std::string { return folder_of(shadow).point(point).activity; });
}

model::Ground LocalPoints::examine(const model::ShadowId& shadow) {
  return base::as_error([&]() -> model::Ground {
    const ShadowFolder folder = folder_of(shadow);
    if (!folder.exists()) return {};
    const FolderLock lock = folder.lock();
    return examine_points(folder);
  });
}

std::unique_ptr<ports::BlockSink> LocalPoints::begin(const model::PointHeader& header) {
  return base::as_error(
      [&]() -> std::unique_ptr<ports::BlockSink> { return begin_point(folder_of(header.shadow), header); });
}

model::VerifyReport LocalPoints::verify(const model::ShadowId& shadow, model::PointNumber point, ports::Verify what) {
  return base::as_error([&]() -> model::VerifyReport {
    const ShadowFolder folder = folder_of(shadow);
    folder.require();
    if (what == ports::Verify::whole) {
      folder.look_at_note();
      return read_all(folder, point);
    }
    const FolderLock lock = folder.lock();
    return what == ports::Verify::unread ? check_unread(folder, point) : check_sample(folder, point);
  });
}

std::vector<std::string> LocalPoints::export_point(const model::ShadowId& shadow, model::PointNumber point,
                                                   const std::string& target) {
  return base::as_error([&]() -> std::vector<std::string> {
    require_reach(target);
    const ShadowFolder folder = folder_of(shadow);
    folder.require();
    const FolderLock lock = folder.lock();
    const StoredPoint stored = folder.point(point);
    require_sound(folder, stored);
    return export_disks(folder, stored, target);
  });
}

unsigned LocalPoints::retain(const model::ShadowId& shadow, const ports::Keep& keep) {
  return base::as_error([&]() -> unsigned {
    const ShadowFolder folder = folder_of(shadow);
    folder.require();
    const FolderLock lock = folder.lock();
    folder.sweep();
    return merge_oldest(folder, keep);
  });
}

Paths LocalPoints::raise_top(const model::ShadowId& shadow, model::PointNumber point, const std::string& purpose) {
  return base::as_error([&]() -> Paths {
    const ShadowFolder folder = folder_of(shadow);
    folder.require();
    const FolderLock lock = folder.lock();
    folder.sweep();
    return nbd::raise_top(folder, point, purpose);
  });
}

void LocalPoints::drop_top(const model::ShadowId& shadow, const std::string& purpose) {
  base::as_error([&] {
    const ShadowFolder folder = folder_of(shadow);
    if (!fs::exists(folder.top_dir(purpose))) return;
    const FolderLock lock = folder.lock();
    nbd::drop_top(folder, purpose);
  });
}

void LocalPoints::adopt(const ports::AdoptRequest& request) {
  base::as_error([&] {
    for (const auto& [disk, layer] : request.layers) require_reach(layer);
    const ShadowFolder folder = folder_of(request.shadow);
    folder.make(request.vm);
    folder.require_vm(request.vm);
    const FolderLock lock = folder.lock();
    folder.sweep();
    adopt_layers(folder, request);
  });
}

void LocalPoints::remove_made(const std::string& path) {
  base::as_error([&] {
    require_reach(path);
    const fs::path file = fs::path(path).lexically_normal();
    if (!file.is_absolute() || file != fs::path(path) || file.filename().string().find(made_mark) == std::string::npos)
      throw Error(Kind::invalid, fmt::format("{} is no file that Umbra made: its name lacks \"{}\"", path, made_mark));
    if (fs::symlink_status(file).type() == fs::file_type::not_found) return;
    if (fs::symlink_status(file).type() != fs::file_type::regular)
      throw Error(Kind::invalid, fmt::format("{} is no regular file", path));
    // One that can't be looked at may name the file.
    for (const model::ShadowId& shadow : list([](const model::ShadowId&, const Error& e) { throw e; })) {
      const ShadowFolder folder = folder_of(shadow);
      try {
        if (const auto owner = folder.owner_of(file))
          throw Error(Kind::refused,
                      fmt::format("{} is a layer of point {} of shadow {}", path, owner->value, shadow.get()));
      } catch (const Error& e) {
        // One damaged shadow must not hold up every other VM of the host.
        if (e.kind() != Kind::corrupt || folder.may_name(file)) throw;
      }
    }
    require_file_unused(file);
    fs::remove(file);
    base::sync_dir(file.parent_path());
  });
}

std::vector<std::string> LocalPoints::chain(const std::string& path) {
  return base::as_error([&]() -> std::vector<std::string> {
    require_reach(path);
    if (!fs::exists(path)) throw Error(Kind::not_found, fmt::format("no file {}", path));
    std::vector<std::string> files;
    for (qemu_img::Info& info : qemu_img::chain(path)) files.push_back(std::move(info.file));
    return files;
  });
}

model::FileStamp LocalPoints::stamp(const std::string& path) {
  return base::as_error([&]() -> model::FileStamp {
    require_reach(path);
    const auto stamp = fs::exists(path) ? stamp_of(path) : std::nullopt;
    if (!stamp) throw Error(Kind::not_found, fmt::format("no file {}", path));
    return *stamp;
  });
}

model::ByteCount LocalPoints::free_space() {
  return base::as_error([&]() -> model::ByteCount {
    const fs::path images = m_root.parent_path();
    struct statvfs room {};
    if (::statvfs(images.c_str(), &room) != 0)
      throw base::from_errno(errno, fmt::format("free space of {}", images.string()));
    return {static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize};
  });
}

}  // namespace umbra::nbd
