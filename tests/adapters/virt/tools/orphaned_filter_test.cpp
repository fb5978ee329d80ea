// SPDX-License-Identifier: Apache-2.0
// A block node that QEMU itself never lets go of: what a fold says of it, and that a new QEMU process is rid of it.
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>

#include <catch2/catch.hpp>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <optional>

#include <fmt/format.h>

#include "base/clock.hpp"
#include "base/process.hpp"
#include "raw.hpp"

using namespace umbra;
using virt::test::Guest;
using virt::test::Raw;

namespace {

constexpr base::Millis patience{30'000};
constexpr int attempts = 20;

void wait_for(const std::string& path) {
  REQUIRE(
      base::wait_until(base::system_clock(), patience, base::Millis{5}, [&] { return std::filesystem::exists(path); }));
}

base::Child nbd_server(const std::string& socket) {
  base::Child server = base::spawn({"nbdkit", "--exit-with-parent", "-f", "-U", socket, "memory", "64M"}, false, false);
  wait_for(socket);
  return server;
}

/// Counts an event of QEMU itself, which comes also while its monitor takes no command.
class Events {
 public:
  Events(_virDomain* domain, const char* name)
      : m_connection(virDomainGetConnect(domain)),
        m_id(virConnectDomainQemuMonitorEventRegister(m_connection, domain, name, &happened, this, nullptr, 0)) {
    REQUIRE(m_id >= 0);
  }
  ~Events() { virConnectDomainQemuMonitorEventDeregister(m_connection, m_id); }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;
  void wait_for(int count) {
    REQUIRE(base::wait_until(base::system_clock(), patience, base::Millis{1}, [&] { return m_count >= count; }));
  }

 private:
  static void happened(virConnectPtr, virDomainPtr, const char*, long long, unsigned, const char*, void* self) {
    ++static_cast<Events*>(self)->m_count;
  }
  _virConnect* m_connection;
  std::atomic<int> m_count{0};
  int m_id;
};

struct Removed {
  std::string file;
  ~Removed() {
    std::error_code ignored;
    std::filesystem::remove(file, ignored);
  }
};

/// As the guest's own requests.
void on_disk(const Raw& raw, const std::string& request) {
  REQUIRE(raw.monitor("human-monitor-command",
                      fmt::format(R"({{"command-line":"qemu-io -d sata0-0-0 \"{}\""}})", request)) == R"("")");
}

/// A mirror loses its connection as QEMU, stopping the guest, waits for what is under way, and so ends while QEMU waits
/// for the disk to have its writes. Which of the two is first is QEMU's affair.
void lose_a_mirror(const Raw& raw, const std::string& top, int errors) {
  base::Child server = nbd_server(top + ".nbd");
  raw.monitor("blockdev-add", fmt::format(R"({{"driver":"nbd","node-name":"migration-vda-storage","open-timeout":10,)"
                                          R"("server":{{"type":"unix","path":"{}"}}}})",
                                          top + ".nbd"));
  Events ready(raw.domain(), "BLOCK_JOB_READY");
  raw.mirror("drive-sata0-0-0", top, "migration-vda-storage");
  ready.wait_for(1);
  server.kill(SIGSTOP);
  on_disk(raw, "write 0 4M");
  Events stopped(raw.domain(), "STOP");
  Events failed(raw.domain(), "BLOCK_JOB_ERROR");
  base::write_file_atomic(top + ".hold", "");
  auto suspended = std::async(std::launch::async, [&] { return virDomainSuspend(raw.domain()); });
  {
    const Removed released{top + ".hold"};
    stopped.wait_for(1);
    server.kill(SIGKILL);
    wait_for(top + ".held");
    failed.wait_for(errors);
  }
  REQUIRE(suspended.get() == 0);
  REQUIRE(virDomainResume(raw.domain()) == 0);
}

/// What a fold fails with once QEMU has kept the filter of a mirror that it lost; nothing where it never does.
std::optional<base::Error> fold_beside_an_orphan(Guest& guest, const Raw& raw) {
  for (int i = 0; i < attempts; ++i) {
    const std::string top = fmt::format("e{}.qcow2", i);
    guest.host().freeze(guest.name(), {guest.overlay(top), std::nullopt});
    lose_a_mirror(raw, guest.file(top), 1 + i % 4);
    try {
      guest.host().fold(guest.name(), guest.overlay("vda.qcow2"));
    } catch (const base::Error& error) {
      return error;
    }
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("a mirror's filter that QEMU keeps without its job is told and is gone with a new QEMU process") {
  virt::test::need_tools();
  Guest guest("orphaned", false, "sata");
  setenv("LD_PRELOAD", HELD_SYNC, 1);
  guest.host().start(guest.name());
  unsetenv("LD_PRELOAD");
  const Raw raw(guest.name());

  const auto error = fold_beside_an_orphan(guest, raw);
  if (!error) {
    WARN("this QEMU lets go of them");
    return;
  }
  CHECK_THAT(error->what(), Catch::Contains("QEMU has kept a block node") && Catch::Contains("its writes are kept"));
  CHECK_THAT(error->hint(), Catch::Contains("managedsave orphaned && ") && Catch::Contains("start orphaned"));
  CHECK(guest.domain().disks.at(0).path != guest.file("vda.qcow2"));

  REQUIRE(virDomainManagedSave(raw.domain(), 0) == 0);
  guest.host().start(guest.name());
  guest.host().fold(guest.name(), guest.overlay("vda.qcow2"));
  CHECK(guest.domain().disks.at(0).path == guest.file("vda.qcow2"));
}
