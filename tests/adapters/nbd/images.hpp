// SPDX-License-Identifier: Apache-2.0
#pragma once
// Real images and points for tests: a scratch folder, guest writes by qemu-io, passes from an image into a store.

#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

#include "adapters/nbd/local_points.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/source.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/process.hpp"
#include "fakes/thrown.hpp"
#include "ports/copy.hpp"
#include "ports/transport.hpp"

namespace umbra::test {

namespace fs = std::filesystem;

inline constexpr std::uint64_t block = model::block_size;

/// A folder that is gone at the end. The first one also looks whether the tools are there: 77 is "skipped" to ctest.
class Scratch {
 public:
  explicit Scratch(const std::string& below = fs::temp_directory_path()) : m_path(below + "/umbra-test-XXXXXX") {
    ::signal(SIGPIPE, SIG_IGN);
    for (const char* tool : {"qemu-nbd", "qemu-img", "qemu-io"}) {
      if (base::run({"sh", "-c", std::string("command -v ") + tool}, "", base::Millis{5000}).status == 0) continue;
      std::cerr << "skipped: " << tool << " is not installed\n";
      std::exit(77);
    }
    if (::mkdtemp(m_path.data()) == nullptr) throw base::from_errno(errno, m_path);
  }
  ~Scratch() { fs::remove_all(m_path); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  fs::path operator/(const std::string& name) const { return fs::path(m_path) / name; }

 private:
  std::string m_path;
};

inline int tool(const base::Argv& argv) {
  return base::run(argv, "", base::Millis{60'000}).status;
}
inline void must(const base::Argv& argv) {
  INFO(base::to_shell(argv));
  REQUIRE(tool(argv) == 0);
}

inline std::string make_image(const fs::path& path, const std::string& size) {
  must({"qemu-img", "create", "-q", "-f", "qcow2", path.string(), size});
  return path;
}
inline std::string make_overlay(const fs::path& path, const fs::path& backing) {
  must({"qemu-img", "create", "-q", "-f", "qcow2", "-b", backing.string(), "-F", "qcow2", path.string()});
  return path;
}
/// qemu-io's command: "write -P 5 64k 128k", "write -z 0 64k".
inline void guest(const fs::path& image, const std::string& command) {
  // A server that was just left may hold the image for a moment longer.
  const auto let_go = [&] { return !nbd::qemu_img::in_use(image); };
  REQUIRE(base::wait_until(base::system_clock(), base::Millis{10'000}, base::Millis{5}, let_go));
  must({"qemu-io", "-f", "qcow2", "-c", command, image.string()});
}
inline bool same_contents(const fs::path& a, const fs::path& b) {
  return tool({"qemu-img", "compare", "-q", "-f", "qcow2", "-F", "qcow2", a.string(), b.string()}) == 0;
}

inline base::Argv export_command(const ports::FileExport& file) {
  base::Argv argv{UMBRA_FAR_END, "export", file.path, file.format};
  if (file.bitmap) argv.insert(argv.end(), {"bitmap", *file.bitmap});
  if (file.above) argv.insert(argv.end(), {"above", *file.above});
  return argv;
}
inline std::unique_ptr<ports::BlockSource> open_export(const ports::FileExport& file) {
  return nbd::open_command(export_command(file), nbd::dirty_context_of(file));
}

inline const model::ShadowId shadow{"web1"};
inline const model::VmName vm{"web1"};
inline const model::DiskName vda{"vda"};

inline model::PointHeader next_header(ports::PointStore& store) {
  model::PointHeader header;
  header.shadow = shadow;
  header.vm = vm;
  header.number = {1};
  header.taken_at = base::Instant(std::chrono::seconds(1'700'000'000));
  const auto points = store.points(shadow);
  if (points.empty()) return header;
  header.number = points.back().number.next();
  header.parent = points.back().number;
  header.parent_root = points.back().root;
  return header;
}

inline ports::CopyCounts send_disk(ports::BlockSource& source, ports::BlockSink& sink, ports::ChangeDigest& changes,
                                   const ports::CopyJob& job) {
  const base::CancelToken cancel;
  ports::Pace pace(base::system_clock(), cancel, std::optional<model::ByteRate>());
  return ports::send_part(source, sink, changes, job, pace, cancel, {});
}

/// One pass of a single disk into the store; the point.
inline model::PointInfo pass(ports::PointStore& store, const ports::FileExport& file,
                             ports::CopyCounts* counts = nullptr, bool resume = false) {
  const auto source = open_export(file);
  model::PointHeader header = next_header(store);
  header.parts = {{vda, source->size()}};
  header.resume = resume;
  const bool first = header.parent.value == 0;
  const model::Manifest known = first ? model::Manifest{} : store.manifest(shadow, header.parent);
  const auto sink = store.begin(header);
  ports::ChangeDigest changes;
  const ports::CopyCounts counted =
      send_disk(*source, *sink, changes,
                {.part = 0,
                 .parent = first ? ports::ParentBlocks::zero() : ports::ParentBlocks::known(known.parts.at(0)),
                 .look = source->tracks_changes() ? ports::Look::changed : ports::Look::all,
                 .kept = resume && !sink->kept().empty() ? sink->kept().at(0) : ports::KeptBlocks{}});
  if (counts != nullptr) *counts = counted;
  return sink->commit(changes.finish());
}

inline void make_shadow(ports::PointStore& store, std::uint64_t size) {
  store.create(shadow, vm, {{vda, {size}}});
}

/// The layer of the newest point.
inline std::string newest_layer(ports::PointStore& store) {
  return store.points(shadow).back().layers.at(0);
}

}  // namespace umbra::test
