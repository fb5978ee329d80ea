// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/qemu_img.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "adapters/nbd/process.hpp"
#include "adapters/nbd/qcow2_file.hpp"
#include "base/error.hpp"

namespace umbra::nbd::qemu_img {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using nlohmann::json;

constexpr std::uint64_t full_below =
    1u << 20;  // qemu-img gives no errno: a file system this full is taken as the cause

bool is_full(const fs::path& path) {
  struct statvfs room {};
  return ::statvfs(path.parent_path().c_str(), &room) == 0 && room.f_bavail * room.f_frsize < full_below;
}

/// qemu-img prefixes its own name and repeats the file's.
std::string first_line(std::string_view text) {
  constexpr std::string_view prefix = "qemu-img: ";
  if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  return std::string(text.substr(0, text.find('\n')));
}

/// The file and those below it, as far as they can be told.
std::vector<fs::path> files_of(const fs::path& path) {
  std::vector<fs::path> files{path};
  const ToolResult result = run_tool({"qemu-img", "info", "--output=json", "-U", "--backing-chain", path.string()});
  const json chain = json::parse(result.out, nullptr, false);
  if (result.status != 0 || !chain.is_array()) return files;
  for (const json& node : chain) files.emplace_back(node.value("filename", path.string()));
  return files;
}

std::string run(const base::Argv& argv, std::string_view act, const fs::path& path) {
  ToolResult result = run_tool(argv);
  if (result.status == 0) return std::move(result.out);
  const std::string message = fmt::format("{} {}: {}", act, path.string(), first_line(result.err));
  if (!fs::exists(path) && act != "create") throw Error(Kind::not_found, message);
  if (is_full(path)) throw Error(Kind::no_space, message, "free space on that file system, then run the command again");
  if (const auto in_the_way = obstacle(path, message)) throw Error(*in_the_way);
  throw Error(Kind::io, message, fmt::format("run by hand: {}", base::to_shell(argv)));
}

Info parse_info(const json& node) {
  Info info;
  info.file = fs::absolute(node.at("filename").get<std::string>()).lexically_normal();
  info.format = node.at("format").get<std::string>();
  info.size = {node.at("virtual-size").get<std::uint64_t>()};
  if (node.contains("backing-filename")) {
    const auto as_written = node["backing-filename"].get<std::string>();
    const auto full = node.value("full-backing-filename", as_written);
    info.backing = fs::absolute(full).lexically_normal();
  }
  const json bitmaps = node.value("/format-specific/data/bitmaps"_json_pointer, json::array());
  for (const json& bitmap : bitmaps) {
    Bitmap b{bitmap.at("name").get<std::string>()};
    for (const json& flag : bitmap.value("flags", json::array())) b.in_use = b.in_use || flag == "in-use";
    info.bitmaps.push_back(std::move(b));
  }
  return info;
}

json info_json(const fs::path& path, bool whole_chain) {
  base::Argv argv{"qemu-img", "info", "--output=json", "-U"};
  if (whole_chain) argv.emplace_back("--backing-chain");
  argv.push_back(path.string());
  const std::string out = run(argv, "look at", path);
  json parsed = json::parse(out, nullptr, false);
  if (parsed.is_discarded()) throw Error(Kind::io, fmt::format("look at {}: qemu-img gave no JSON", path.string()));
  return parsed;
}

Info info_of(const qcow2::File& file, const fs::path& backing) {
  return {file.path, "qcow2", file.header.size, backing, {}};
}

/// Whether another process holds one of the locks by which QEMU tells its permissions: open-file-description locks on
/// single bytes (block/file-posix.c, RAW_LOCK_PERM_BASE and RAW_LOCK_SHARED_BASE).
bool is_locked(const fs::path& path, off_t first, off_t count) {
  const base::UniqueFd fd = base::open_file(path, O_RDONLY);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = first;
  lock.l_len = count;
  if (::fcntl(fd.get(), F_OFD_GETLK, &lock) != 0)
    throw base::from_errno(errno, fmt::format("query the lock of {}", path.string()));
  return lock.l_type != F_UNLCK;
}
constexpr off_t held_lock = 100;      // a permission that is held
constexpr off_t unshared_lock = 200;  // one that nobody else may hold
constexpr off_t reading = 0;          // BLK_PERM_CONSISTENT_READ
constexpr off_t writing = 1;          // BLK_PERM_WRITE
constexpr off_t resizing = 3;         // BLK_PERM_RESIZE

}  // namespace

Info info(const fs::path& path) {
  if (const auto file = qcow2::plain_file(path)) {
    if (const auto backing = qcow2::backing_of(*file)) return info_of(*file, *backing);
  }
  return parse_info(info_json(path, false));
}

std::vector<Info> chain(const fs::path& path) {
  std::vector<Info> files;
  if (const auto plain = qcow2::plain_chain(path)) {
    for (std::size_t i = 0; i < plain->size(); ++i)
      files.push_back(info_of((*plain)[i], i + 1 < plain->size() ? (*plain)[i + 1].path : fs::path()));
    return files;
  }
  for (const json& node : info_json(path, true)) files.push_back(parse_info(node));
  return files;
}

void commit(const fs::path& top, const fs::path& base) {
  // With a base given, qemu-img leaves the top layer as it is (-d is implied): a repeated commit finds it whole.
  run({"qemu-img", "commit", "-q", "-f", "qcow2", "-d", "-b", base.string(), top.string()}, "merge", top);
}

void shrink(const fs::path& path, model::ByteCount size) {
  if (info(path).size <= size) return;
  run({"qemu-img", "resize", "-q", "-f", "qcow2", "--shrink", path.string(), std::to_string(size.value)}, "shrink",
      path);
}

void rebase(const fs::path& path, const std::string& backing, const std::string& backing_format) {
  run({"qemu-img", "rebase", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", backing_format, path.string()}, "re-base",
      path);
}

bool is_consistent(const fs::path& path) {
  constexpr int leaks_alone = 3;
  const int status = run_tool({"qemu-img", "check", "-q", "-f", "qcow2", path.string()}).status;
  return status == 0 || status == leaks_alone;
}

void convert(const fs::path& path, const fs::path& to) {
  run({"qemu-img", "convert", "-q", "-f", "qcow2", "-O", "qcow2", "-o", "compat=1.1,lazy_refcounts=off", path.string(),
       to.string()},
      "copy", path);
}

void remove_bitmap(const fs::path& path, const std::string& name) {
  run({"qemu-img", "bitmap", "--remove", path.string(), name}, "remove a bitmap from", path);
}

std::optional<Error> obstacle(const fs::path& path, const std::string& message) {
  for (const fs::path& file : files_of(path)) {
    std::error_code gone;
    if (!fs::exists(file, gone)) continue;
    if (::access(file.c_str(), R_OK) != 0 && (errno == EACCES || errno == EPERM))
      return Error(Kind::refused, message,
                   fmt::format("this user may not read {}: run the far end as root", file.string()));
    if (in_use(file))
      return Error(Kind::busy, message, fmt::format("another process uses the file: fuser -v {}", file.string()));
  }
  return std::nullopt;
}

bool in_use(const fs::path& path) {
  return is_locked(path, held_lock, 2 * (unshared_lock - held_lock));
}

bool is_writable_elsewhere(const fs::path& path) {
  return is_locked(path, held_lock + writing, 1) || is_locked(path, held_lock + resizing, 1) ||
         is_locked(path, unshared_lock + reading, 1);
}

}  // namespace umbra::nbd::qemu_img
