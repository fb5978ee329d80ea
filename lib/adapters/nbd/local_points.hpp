// SPDX-License-Identifier: Apache-2.0
#pragma once
// The points of shadows in a folder of this host, as qcow2 layers. The folder of one shadow:
//   shadow.json            the VM it belongs to (shadow_note.cpp)
//   empty/DISK.qcow2       what the domain is defined with before the first point
//   point-000017/          DISK.qcow2 over ../point-000016/DISK.qcow2, memory, PART.digests, point.json; where it is
//                          damaged also damaged, found.json, PART.found (damage.hpp)
//   descriptions/          point-000017.json, a second copy of each point.json (descriptions.hpp)
//   incoming-000018/       a point being written, or what a cut pass left of it; becomes a point by one rename
//   top-PURPOSE/DISK.qcow2 writable layers over a point
// A folder point-N that holds layers alone, or merging.json or given-up.json beside them, is no point any more: newer
// ones stand on them. One whose point.json alone is gone is a damaged point. One writer at a time: a lock on the
// shadow's folder; readers take none. Touches <images>/umbra and what it is asked to adopt, to remove, to export or to
// look at. All that fails in it leaves it as a base::Error.

#include <filesystem>
#include <functional>

#include "adapters/nbd/shadow_folder.hpp"
#include "ports/point_store.hpp"

namespace umbra::nbd {

class LocalPoints final : public ports::PointStore {
 public:
  /// `images` is the host's folder for disks; "umbra" is made in it when first needed.
  /// Long work on whole disks ends by Kind::cancelled once `cancel` is asked for; null: it does not.
  explicit LocalPoints(std::filesystem::path images, const base::CancelToken* cancel = nullptr);
  /// For a caller who may be anyone with a key: files outside of `images` are refused from now on, Kind::refused.
  void confine() { m_confined = true; }

  std::map<model::DiskName, std::string> create(const model::ShadowId& shadow, const model::VmName& vm,
                                                const std::vector<model::Part>& disks) override;
  std::map<model::DiskName, std::string> claim(const model::ShadowId& from, const model::ShadowId& to,
                                               const model::VmName& vm, const std::vector<model::Part>& disks) override;
  void drop(const model::ShadowId& shadow) override;
  void drop_with_adopted(const model::ShadowId& shadow) override;
  void take_back(const model::ShadowId& shadow) override;
  std::vector<model::ShadowId> shadows() override;

  std::vector<model::PointInfo> points(const model::ShadowId& shadow) override;
  model::Manifest manifest(const model::ShadowId& shadow, model::PointNumber point) override;
  std::string activity(const model::ShadowId& shadow, model::PointNumber point) override;
  model::Ground examine(const model::ShadowId& shadow) override;
  std::unique_ptr<ports::BlockSink> begin(const model::PointHeader& header) override;
  model::VerifyReport verify(const model::ShadowId& shadow, model::PointNumber point, ports::Verify what) override;
  unsigned retain(const model::ShadowId& shadow, const ports::Keep& keep) override;
  std::vector<std::string> export_point(const model::ShadowId& shadow, model::PointNumber point,
                                        const std::string& target) override;

  std::map<model::DiskName, std::string> raise_top(const model::ShadowId& shadow, model::PointNumber point,
                                                   const std::string& purpose) override;
  void drop_top(const model::ShadowId& shadow, const std::string& purpose) override;
  void adopt(const ports::AdoptRequest& request) override;
  void remove_made(const std::string& path) override;
  std::vector<std::string> chain(const std::string& path) override;
  model::FileStamp stamp(const std::string& path) override;
  model::ByteCount free_space() override;

 private:
  ShadowFolder folder_of(const model::ShadowId& shadow) const { return {m_root, shadow, m_cancel}; }

  std::filesystem::path m_root;  ///< <images>/umbra
  const base::CancelToken* m_cancel;
  bool m_confined = false;
  void require_reach(const std::filesystem::path& file) const;
  std::vector<model::ShadowId> list(
      const std::function<void(const model::ShadowId&, const base::Error&)>& unreadable) const;
  void remove_with(const model::ShadowId& shadow,
                   const std::function<std::vector<std::filesystem::path>(const ShadowFolder&)>& files_of);
};

}  // namespace umbra::nbd
