// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/image.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/source.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;

/// Bytes near a file's beginning that say what it is.
struct Magic {
  std::string_view format;
  std::string_view bytes;
  std::size_t offset = 0;
};
constexpr std::array<Magic, 7> magics{{{"qcow2", "QFI\xfb"},
                                       {"qed", std::string_view("QED\0", 4)},
                                       {"vmdk", "KDMV"},
                                       {"vmdk", "# Disk DescriptorFile"},
                                       {"vhdx", "vhdxfile"},
                                       {"vpc", "conectix"},
                                       {"vdi", "\x7f\x10\xda\xbe", 64}}};

/// The format that the first bytes name; empty where they name none.
std::string named_by_bytes(int fd, const std::string& path) {
  std::array<char, 128> buffer{};
  const std::size_t n = base::read_full(fd, std::as_writable_bytes(std::span(buffer)), path);
  const std::string_view first(buffer.data(), n);
  const auto found = std::ranges::find_if(magics, [&](const Magic& magic) {
    return first.size() > magic.offset && first.substr(magic.offset).starts_with(magic.bytes);
  });
  return found == magics.end() ? "" : std::string(found->format);
}

std::string told_or_found(const std::string& path, int fd, const std::string& told) {
  if (!told.empty()) return told;
  const std::string by_bytes = named_by_bytes(fd, path);
  const bool named_qcow2 = fs::path(path).extension() == ".qcow2";
  if (by_bytes.empty() && !named_qcow2) return "raw";
  if (by_bytes == "qcow2" && named_qcow2) return by_bytes;
  if (by_bytes.empty())
    throw Error(Kind::invalid, fmt::format("{} is named as a qcow2 file and is none", path),
                "say what it is: --format raw");
  throw Error(Kind::invalid,
              fmt::format("{} begins as a {} file does, and its name does not say so: a guest can write such bytes "
                          "into a raw disk",
                          path, by_bytes),
              fmt::format("say what it is: --format {}, or --format raw", by_bytes));
}

std::int64_t ns(const timespec& time) {
  return time.tv_sec * 1'000'000'000ll + time.tv_nsec;
}

ImageStamp stamp(const fs::path& path) {
  struct stat seen {};
  if (::stat(path.c_str(), &seen) != 0) throw base::from_errno(errno, fmt::format("look at {}", path.string()));
  return {path, static_cast<std::uint64_t>(seen.st_size), ns(seen.st_mtim), ns(seen.st_ctim)};
}

std::vector<ImageStamp> stamps_of(const Image& image) {
  std::vector<ImageStamp> stamps;
  if (image.format == "raw") return {stamp(image.path)};
  for (const qemu_img::Info& file : qemu_img::chain(image.path)) {
    if (fs::is_regular_file(file.file)) stamps.push_back(stamp(file.file));
  }
  return stamps;
}

bool is_in_use(const std::string& device) {
  const base::UniqueFd fd(::open(device.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
  return !fd && errno == EBUSY;
}

std::unique_ptr<ports::BlockSource> open(const Image& image) {
  try {
    return open_file({.path = image.path, .format = image.format, .bitmap = {}, .above = {}});
  } catch (Error& e) {
    if (e.kind() == Kind::busy)
      e.set_hint("a running VM has it: replicate that VM instead, umbra replicate VM; umbra status lists them");
    throw;
  }
}

}  // namespace

Image open_image(const std::string& path, const std::string& format) {
  const fs::file_status status = fs::status(path);
  if (!fs::exists(status))
    throw Error(Kind::not_found, fmt::format("there is no file {}", path), "name an image file, a disk or an NBD URI");
  const bool regular = fs::is_regular_file(status);
  if (!regular && !fs::is_block_file(status))
    throw Error(Kind::invalid, fmt::format("{} is neither a file nor a block device", path),
                "name an image file, a disk or an NBD URI");
  Image image;
  image.path = fs::canonical(path);
  {
    const base::UniqueFd fd = base::open_file(image.path, O_RDONLY);
    if (regular && fs::file_size(image.path) == 0)
      throw Error(Kind::invalid, fmt::format("{} is empty", path), "name a file that holds a disk");
    image.format = told_or_found(image.path, fd.get(), format);
  }
  if (regular) image.stamps = stamps_of(image);
  image.device_in_use = !regular && is_in_use(image.path);
  image.source = open(image);
  return image;
}

void require_unchanged(const std::vector<ImageStamp>& stamps) {
  for (const ImageStamp& before : stamps) {
    std::error_code gone;
    if (fs::exists(before.path, gone) && stamp(before.path) == before) continue;
    throw Error(Kind::busy, fmt::format("{} was written to while it was read", before.path.string()),
                "end what writes to it, or take a snapshot of it and read that; then run it again");
  }
}

bool among_points(const fs::path& file, const fs::path& images) {
  const fs::path root = fs::weakly_canonical(fs::absolute(images) / "umbra");
  const fs::path real = fs::weakly_canonical(fs::absolute(file));
  return std::mismatch(root.begin(), root.end(), real.begin(), real.end()).first == root.end();
}

}  // namespace umbra::nbd
