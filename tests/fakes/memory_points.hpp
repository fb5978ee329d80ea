// SPDX-License-Identifier: Apache-2.0
#pragma once
// A host's restore points held in memory: real manifests, digests and roots, whole-point commit, and a failure on
// demand before any call.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fakes/memory_source.hpp"
#include "ports/point_store.hpp"

namespace umbra::fakes {

/// Called with the name of each call before it acts; throws to make it fail.
using CallHook = std::function<void(const std::string&)>;

struct MemoryPoint {
  model::PointInfo info;
  model::Manifest manifest;
  std::map<model::DiskName, MemoryImage> parts;
  std::string activity;
  model::PointNumber parent;
  bool opens = true;  ///< false: a file of it is gone
};

struct MemoryShadow {
  model::VmName vm;
  std::vector<model::Part> disks;
  std::map<std::uint64_t, MemoryPoint> points;     ///< by number
  std::map<std::string, model::PointNumber> tops;  ///< purpose -> point below
  std::map<model::DiskName, std::string> adopted;  ///< of the newest adopted point
};

/// What lies on one host's disk. It outlives the stores that are opened on it.
struct MemoryHost {
  std::string images = "/images";
  std::map<model::ShadowId, MemoryShadow> shadows;
  std::map<std::string, MemoryImage> files;                ///< other files, by path
  std::map<std::string, std::vector<std::string>> chains;  ///< path -> files of its chain, itself first
  std::vector<std::string> removed;                        ///< by remove_made, in order
  model::ByteCount free{1ull << 40};
  unsigned open_sinks = 0;   ///< points being written
  bool hides_files = false;  ///< stamp() refuses
};

class MemoryPoints : public ports::PointStore {
 public:
  explicit MemoryPoints(MemoryHost& host, CallHook hook = {}) : m_host(host), m_hook(std::move(hook)) {}

  std::map<model::DiskName, std::string> create(const model::ShadowId&, const model::VmName&,
                                                const std::vector<model::Part>&) override;
  std::map<model::DiskName, std::string> claim(const model::ShadowId& from, const model::ShadowId& to,
                                               const model::VmName&, const std::vector<model::Part>&) override;
  void drop(const model::ShadowId&) override;
  void drop_with_adopted(const model::ShadowId&) override;
  void take_back(const model::ShadowId&) override;
  std::vector<model::ShadowId> shadows() override;
  std::vector<model::PointInfo> points(const model::ShadowId&) override;
  model::Manifest manifest(const model::ShadowId&, model::PointNumber) override;
  std::string activity(const model::ShadowId&, model::PointNumber) override;
  model::Ground examine(const model::ShadowId&) override;
  std::unique_ptr<ports::BlockSink> begin(const model::PointHeader&) override;
  model::VerifyReport verify(const model::ShadowId&, model::PointNumber, ports::Verify what) override;
  unsigned retain(const model::ShadowId&, const ports::Keep& keep) override;
  std::vector<std::string> export_point(const model::ShadowId&, model::PointNumber, const std::string& target) override;
  std::map<model::DiskName, std::string> raise_top(const model::ShadowId&, model::PointNumber,
                                                   const std::string& purpose) override;
  void drop_top(const model::ShadowId&, const std::string& purpose) override;
  void adopt(const ports::AdoptRequest&) override;
  void remove_made(const std::string& path) override;
  std::vector<std::string> chain(const std::string& path) override;
  model::FileStamp stamp(const std::string& path) override;
  model::ByteCount free_space() override;

 private:
  void call(const std::string& name) const;
  MemoryShadow& shadow_of(const model::ShadowId&);
  MemoryPoint& point_of(const model::ShadowId&, model::PointNumber);
  std::map<model::DiskName, std::string> paths(const model::ShadowId&, const std::string& folder) const;
  MemoryHost& m_host;
  CallHook m_hook;
};

}  // namespace umbra::fakes
