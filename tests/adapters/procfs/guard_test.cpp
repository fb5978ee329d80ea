// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <future>

#include "adapters/procfs/move_guard.hpp"
#include "base/fd.hpp"
#include "base/process.hpp"

using namespace umbra;

TEST_CASE("a guard that is told to let be ends at once, though its owner is there and QEMU runs") {
  if (geteuid() != 0) {
    WARN("SKIPPED: another process's connections are seen by root alone");
    return;
  }
  const std::string uuid = "6f1c3d52-0000-4000-8000-00000000a11e";
  // A process that looks like its QEMU to whoever reads /proc.
  const base::Child qemu =
      base::spawn({"bash", "-c", "exec -a qemu-guard-test bash -c 'echo; read -r line; :' -uuid " + uuid}, true, true);
  std::array<std::byte, 1> begun{};
  REQUIRE(base::read_full(qemu.from_child.get(), begun, "it") == 1);

  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const base::UniqueFd theirs(ends[0]);
  const base::UniqueFd owner(ends[1]);
  const base::CancelToken cancel;
  std::promise<void> ready;
  const auto done = std::async(std::launch::async, [&] {
    procfs::guard_move({.vm = model::Uuid(uuid), .owner_fd = theirs.get(), .images = {}}, cancel, base::system_clock(),
                       [&] { ready.set_value(); });
  });
  ready.get_future().wait();
  base::write_all(owner.get(), std::string_view("-"), "the guard");
  CHECK(done.wait_for(std::chrono::seconds(3)) == std::future_status::ready);
}
