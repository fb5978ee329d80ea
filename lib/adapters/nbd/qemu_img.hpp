// SPDX-License-Identifier: Apache-2.0
#pragma once
// qemu-img's acts on layers, each with its failure told in qemu-img's own words. What the header of a plain file tells
// is read without it: qcow2_file.hpp.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "model/ids.hpp"

namespace umbra::nbd::qemu_img {

struct Bitmap {
  std::string name;
  bool in_use = false;  ///< inconsistent, or in the hands of a running QEMU
};

struct Info {
  std::string file;  ///< absolute
  std::string format;
  model::ByteCount size;
  std::string backing;  ///< absolute; empty where it stands alone
  std::vector<Bitmap> bitmaps;
};

/// Reads the header without taking QEMU's lock: a running guest may hold the file.
Info info(const std::filesystem::path& path);
/// The files of the chain, nearest first.
std::vector<Info> chain(const std::filesystem::path& path);

/// Writes everything that lies above `base` in `top`'s chain into `base`. Can be repeated.
void commit(const std::filesystem::path& top, const std::filesystem::path& base);
/// Cuts off what lies past `size`; does nothing where nothing does.
void shrink(const std::filesystem::path& path, model::ByteCount size);
/// Changes the header's backing file; contents must be equal already.
void rebase(const std::filesystem::path& path, const std::string& backing, const std::string& backing_format);
/// Whether the metadata hold together; clusters that are merely leaked do no harm.
bool is_consistent(const std::filesystem::path& path);
/// Writes what `path` shows into `to`, a plain qcow2 that stands alone.
void convert(const std::filesystem::path& path, const std::filesystem::path& to);
void remove_bitmap(const std::filesystem::path& path, const std::string& name);

/// What keeps a sound file from being opened: another process has it or a file below it open for writing (Kind::busy),
/// or this user may not read one of them (Kind::refused). Nothing where neither is so.
std::optional<base::Error> obstacle(const std::filesystem::path& path, const std::string& message);

/// Whether a running QEMU (or one of its tools) holds the file open.
bool in_use(const std::filesystem::path& path);
/// Whether one of them may write to it, or lets nobody else read it.
bool is_writable_elsewhere(const std::filesystem::path& path);

}  // namespace umbra::nbd::qemu_img
