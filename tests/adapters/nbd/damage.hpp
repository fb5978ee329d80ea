// SPDX-License-Identifier: Apache-2.0
#pragma once
// A shadow with three points, faults in its files, and passes that repair it.

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <functional>

#include "images.hpp"
#include "ports/delta.hpp"

namespace umbra::test {

inline constexpr std::uint64_t size = 4u << 20;

inline void keeping_time(const fs::path& file, const std::function<void()>& act) {
  const auto time = fs::last_write_time(file);
  act();
  fs::last_write_time(file, time);
}

/// One bit of the file, as a disk loses it.
inline void flip(const fs::path& file, std::uint64_t offset, int bit = 4) {
  keeping_time(file, [&] {
    const base::UniqueFd fd = base::open_file(file, O_RDWR);
    char byte = 0;
    REQUIRE(::pread(fd.get(), &byte, 1, static_cast<off_t>(offset)) == 1);
    byte = static_cast<char>(byte ^ (1 << bit));
    REQUIRE(::pwrite(fd.get(), &byte, 1, static_cast<off_t>(offset)) == 1);
  });
}

/// The offset in the file at which the image's `offset` lies.
inline std::uint64_t place_of(const fs::path& layer, std::uint64_t offset) {
  const auto map = base::run({"qemu-img", "map", "-U", "-f", "qcow2", "--output=json", "--start-offset",
                              std::to_string(offset), "--max-length", "512", layer.string()},
                             "", base::Millis{60'000});
  const std::string name = "\"offset\": ";
  const std::size_t at = map.out.find(name);
  REQUIRE(at != std::string::npos);
  return std::stoull(map.out.substr(at + name.size()));
}

/// Three points of a disk whose blocks 0 to 15 hold 1; point 2 wrote block 20 with 2, point 3 block 40 with 3.
struct DamagedShadow {
  Scratch scratch;
  fs::path images = scratch / "images";
  nbd::LocalPoints store{images};
  std::string source = make_image(scratch / "source.qcow2", "4M");
  DamagedShadow() {
    make_shadow(store, size);
    guest("write -P 1 0 1M");
    REQUIRE(repair() == "the shadow has no point yet");
    guest("write -P 2 1280k 64k");
    repair();
    guest("write -P 3 2560k 64k");
    repair();
    REQUIRE(store.points(shadow).size() == 3);
  }
  void guest(const std::string& command) const { test::guest(source, command); }
  fs::path dir(int n) const { return images / "umbra/web1" / ("point-00000" + std::to_string(n)); }
  fs::path layer(int n) const { return dir(n) / "vda.qcow2"; }

  /// A pass as replication does it for a VM that is off; why it was not the cheapest.
  std::string repair() {
    const model::Ground ground = store.examine(shadow);
    model::PointHeader header;
    header.shadow = shadow;
    header.vm = vm;
    header.taken_at = base::Instant(std::chrono::seconds(1'700'000'000));
    std::vector<ports::PartSource> parts;
    parts.push_back({vda, open_export({source, "qcow2", {}, {}}), ports::Look::all});
    model::Disk disk;
    disk.name = vda;
    const ports::Choice choice = ports::choose_method(ground, {}, {disk});
    struct NoHosts : ports::Hypervisors {
      ports::Hypervisor& at(const model::HostName&) override { throw base::Error(base::Kind::internal, "none"); }
      std::vector<model::HostName> names() const override { return {}; }
    } hosts;
    struct NoTransport : ports::Transport {
      std::unique_ptr<ports::PointStore> connect(const model::HostName&) override { return nullptr; }
      std::unique_ptr<ports::BlockSource> open(const ports::NbdExport&) override { return nullptr; }
      std::unique_ptr<ports::BlockSource> open(const model::HostName&, const ports::FileExport&) override {
        return nullptr;
      }
      std::unique_ptr<ports::MoveGuard> guard_move(const model::HostName&, const model::Uuid&,
                                                   const std::vector<std::string>&) override {
        return nullptr;
      }
      bool end_guard(const model::HostName&, const model::Uuid&) override { return false; }
    } transport;
    const base::CancelToken cancel;
    const ports::Context context{hosts, transport, base::system_clock(), cancel};
    const ports::SentPoint sent =
        ports::send_point(context, store, ground, std::move(header), std::move(parts), {}, {});
    counts = sent.counts;
    newest = sent.info.number;
    ports::require_equal(store, shadow, vm, newest);
    return choice.why;
  }
  /// The newest point is what the source is, read from its files, and sound.
  void check_repaired() {
    CHECK(store.points(shadow).back().number == newest);
    CHECK(store.points(shadow).back().sound());
    CHECK(same_contents(source, newest_layer(store)));
    CHECK(store.verify(shadow, newest, ports::Verify::whole).sound());
  }
  /// Passes and merges go on, down to one point, and every point that is called sound is.
  void check_goes_on() {
    for (const unsigned keep : {3u, 2u, 1u}) {
      store.retain(shadow, keep);
      const auto points = store.points(shadow);
      CHECK(points.size() <= keep);
      for (const auto& point : points) {
        if (point.sound()) CHECK(store.verify(shadow, point.number, ports::Verify::whole).sound());
      }
      CHECK(points.back().sound());
      CHECK(same_contents(source, newest_layer(store)));
    }
    guest("write -P 9 3M 64k");
    repair();
    CHECK(counts.data.value == block);
    check_repaired();
  }

  ports::CopyCounts counts;
  model::PointNumber newest;
};

}  // namespace umbra::test
