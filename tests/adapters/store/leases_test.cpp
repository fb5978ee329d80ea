// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>
#include <catch2/catch.hpp>

#include <set>

#include "adapters/store/fork.hpp"
#include "adapters/store/leases.hpp"
#include "adapters/store/temp_dir.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/process.hpp"

using namespace umbra;
using namespace umbra::test;

namespace {

const model::VmName web1("web1");

base::Error busy(store::FileLeases& leases, base::Millis wait) {
  try {
    const auto lease = leases.acquire(web1, wait);
  } catch (const base::Error& e) {
    return e;
  }
  FAIL("the lease was given twice");
  throw 0;
}

}  // namespace

TEST_CASE("a held lease is refused to others, who are told which process holds it") {
  TempDir dir;
  store::FileLeases leases(dir.path());
  Signpost held;
  const pid_t holder = start([&] {
    const auto lease = leases.acquire(web1, base::Millis{0});
    held.reached();
    ::pause();
  });
  held.await();
  const base::Error error = busy(leases, base::Millis{0});
  CHECK(error.kind() == base::Kind::busy);
  CHECK(std::string(error.what()) == "another run of umbra works on web1: process " + std::to_string(holder));
  CHECK(error.hint() == "wait for it to end, or see what it does: ps -fp " + std::to_string(holder));
  CHECK(leases.acquire(model::VmName("web2"), base::Millis{0}) != nullptr);

  ::kill(holder, SIGKILL);
  reap(holder);
  CHECK(leases.acquire(web1, base::Millis{0}) != nullptr);
}

TEST_CASE("one process gets a lease once, and again after giving it back") {
  TempDir dir;
  store::FileLeases leases(dir.path());
  {
    const auto lease = leases.acquire(web1, base::Millis{0});
    CHECK(busy(leases, base::Millis{0}).kind() == base::Kind::busy);
  }
  CHECK(leases.acquire(web1, base::Millis{0}) != nullptr);
}

TEST_CASE("who waits gets the lease once it is free") {
  TempDir dir;
  store::FileLeases leases(dir.path());
  Signpost held;
  const pid_t holder = start([&] {
    const auto lease = leases.acquire(web1, base::Millis{0});
    held.reached();
    ::usleep(200000);
  });
  held.await();
  CHECK(leases.acquire(web1, base::Millis{10000}) != nullptr);
  CHECK(reap(holder) == 0);
}

TEST_CASE("who waits gives up at the deadline") {
  TempDir dir;
  store::FileLeases leases(dir.path());
  const auto lease = leases.acquire(web1, base::Millis{0});
  const base::Millis start = base::system_clock().steady();
  CHECK(busy(leases, base::Millis{150}).kind() == base::Kind::busy);
  const base::Millis waited = base::system_clock().steady() - start;
  CHECK(waited >= base::Millis{150});
  CHECK(waited < base::Millis{5000});
}

TEST_CASE("a program started by the holder does not hold the lease") {
  TempDir dir;
  store::FileLeases leases(dir.path());
  auto lease = leases.acquire(web1, base::Millis{0});
  base::Child child = base::spawn({"sleep", "60"}, false, false);
  lease.reset();
  CHECK(leases.acquire(web1, base::Millis{0}) != nullptr);
}

TEST_CASE("no VM's name leaves the folder of locks, and no two share a file") {
  TempDir dir;
  const store::FileLeases leases(dir.path());
  CHECK(leases.path_of(web1).filename() == "web1.lock");
  std::set<std::string> seen;
  const std::string long_name(250, 'a');
  for (const std::string& name :
       {std::string("web1"), std::string("Web1"), std::string("../etc/passwd"), std::string("."), std::string(".."),
        std::string("a/b"), std::string("a%2Fb"), std::string("a b"), std::string("ü"), long_name, long_name + "b",
        std::string(250, '/')}) {
    const auto path = leases.path_of(model::VmName(name));
    CHECK(path.parent_path() == dir / "locks");
    CHECK(path.filename().string().size() < 255);
    CHECK_FALSE(path.filename().string().starts_with('.'));
    CHECK(seen.insert(path.string()).second);
  }
}
