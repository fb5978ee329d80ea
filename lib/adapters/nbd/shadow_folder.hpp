// SPDX-License-Identifier: Apache-2.0
#pragma once
// One shadow's folder: its names, its points' descriptions, its lock. local_points.hpp shows the layout.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "base/fd.hpp"
#include "model/file_stamp.hpp"
#include "model/points.hpp"

namespace umbra::nbd {

/// Kind::invalid where `text` can't be a file's name here: empty, long, with a slash, a control character, or a dot
/// first.
void check_name(const std::string& text, std::string_view what);

using model::FileStamp;
/// Nothing where there is no such file.
std::optional<FileStamp> stamp_of(const std::filesystem::path& file);

/// What point.json holds, and whether the point was found to be damaged.
struct StoredPoint {
  model::PointInfo info;
  model::VmName vm;  ///< that it is of; empty in files of before
  model::PointNumber parent;
  std::string activity;
  std::vector<std::optional<FileStamp>> stamps;  ///< of the layers, in their order, as read; writing takes new ones
  bool readable = true;  ///< false: nothing describes it; the number and info.damaged are all that is known
  bool is_copy = false;  ///< point.json is gone or damaged; this is what the copy of it says (descriptions.hpp)
};

/// Held as long as it lives; the kernel frees it when the process dies.
class FolderLock {
 public:
  /// Kind::busy where another holds it, Kind::not_found where there is no such folder.
  explicit FolderLock(const std::filesystem::path& folder);
  /// The same on a folder that was opened before; nothing where its name leads elsewhere, or nowhere, by now.
  static std::optional<FolderLock> of_opened(base::UniqueFd opened, const std::filesystem::path& folder);

 private:
  explicit FolderLock(base::UniqueFd locked) : m_fd(std::move(locked)) {}
  base::UniqueFd m_fd;
};

class ShadowFolder {
 public:
  /// `cancel`, which may be null, ends what reads or writes a whole disk's blocks.
  ShadowFolder(const std::filesystem::path& root, const model::ShadowId& shadow,
               const base::CancelToken* cancel = nullptr);

  const std::filesystem::path& path() const { return m_path; }
  const model::ShadowId& id() const { return m_id; }
  const base::CancelToken* cancel() const { return m_cancel; }
  bool exists() const;
  /// Kind::not_found where it is absent.
  void require() const;
  FolderLock lock() const { return FolderLock(m_path); }

  /// As the note says, or where that is damaged, the points; Kind::corrupt where neither tells.
  model::VmName vm() const;
  /// "VM" where nothing tells.
  model::VmName vm_for_hints() const;
  /// Says that the note is damaged, where it is, and what is safe.
  void look_at_note() const;
  void write_vm(const model::VmName& vm) const;
  /// Kind::refused where it belongs to another VM. A damaged note is written anew.
  void require_vm(const model::VmName& vm) const;
  /// Makes the folder for `vm` whole or not at all; nothing where it is there already.
  void make(const model::VmName& vm) const;

  std::filesystem::path empty_layer(const model::DiskName& disk) const;
  std::filesystem::path point_dir(model::PointNumber point) const;
  std::filesystem::path incoming_dir(model::PointNumber point) const;
  std::filesystem::path top_dir(const std::string& purpose) const;
  std::filesystem::path digests_file(model::PointNumber point, const model::DiskName& part) const;

  /// Committed points, oldest first, the damaged ones too, and those that are lost.
  std::vector<StoredPoint> points() const;
  /// Kind::not_found where there is none of that number.
  StoredPoint point(model::PointNumber number) const;
  /// The highest number that a point's folder bears, whatever is in it, or a lost point; 0 where there is none.
  model::PointNumber last_number() const;
  /// Kind::corrupt where it is damaged.
  model::Manifest manifest(const StoredPoint& point) const;
  /// The same where it was read, and found whole, by this object or a copy of it: a large disk's is large. Of the last
  /// two points.
  std::optional<model::Manifest> known_manifest(const StoredPoint& point) const;
  void note_manifest(const StoredPoint& point, const model::Manifest& manifest) const;

  /// Removes what unfinished work left and nothing goes on with: layers and files that were being made, and what a cut
  /// pass left of a number that is given by now. What a cut pass to the next point sent stays.
  void sweep() const;
  /// And what cut passes left, but for the folder `but`.
  void sweep_passes(const std::filesystem::path& but) const;
  /// Files in top-* folders that are no point's layer.
  std::vector<std::filesystem::path> tops() const;
  /// The point whose layer `file` is. Kind::corrupt where a description that can't be read may name it.
  std::optional<model::PointNumber> owner_of(const std::filesystem::path& file) const;
  /// Of a folder whose descriptions can't be read: whether `file` lies in it, or one of them may name it.
  bool may_name(const std::filesystem::path& file) const;
  /// Whether the file lies in this folder.
  bool holds(const std::filesystem::path& file) const;

 private:
  /// The folder's name is its VM's own: who asks for it may have it where its note is damaged or lost.
  void restore_vm(const model::VmName& vm, const std::string& why) const;

  struct Known {
    model::PointNumber number;
    base::Digest root;
    model::Manifest manifest;
  };
  std::filesystem::path m_path;
  model::ShadowId m_id;
  const base::CancelToken* m_cancel;
  std::shared_ptr<std::vector<Known>> m_known = std::make_shared<std::vector<Known>>();
};

/// The number in "point-000017"; nothing for another name.
std::optional<model::PointNumber> point_in(std::string_view name);
/// Whether both paths lead to one file; by their text where it is not there.
bool same_file(const std::filesystem::path& a, const std::filesystem::path& b);

inline constexpr std::string_view point_file = "point.json";
/// Whose the folder is; see shadow_note.cpp.
inline constexpr std::string_view shadow_file = "shadow.json";
/// What the folder is called until it is whole.
inline constexpr std::string_view making_prefix = ".making-";
/// What is wrong with a point, where something is; see damage.hpp.
inline constexpr std::string_view damaged_file = "damaged";
std::string damage_told_in(const std::filesystem::path& point_dir);
/// What point.json is called from the moment when the point is given up for the next one.
inline constexpr std::string_view merging_file = "merging.json";
/// And from the moment when a damaged one is given up.
inline constexpr std::string_view given_up_file = "given-up.json";

/// Writes point.json (or replaces it, whole or not at all) in `dir`, a folder of `folder`, with the layers' stamps of
/// this moment; and its copy, where the point is there.
void write_point_file(const std::filesystem::path& dir, const ShadowFolder& folder, const StoredPoint& point);
StoredPoint read_point_file(const std::filesystem::path& file);
/// The same of a copy: of the point in `dir`.
StoredPoint read_point_file(const std::filesystem::path& file, const std::filesystem::path& dir);

}  // namespace umbra::nbd
