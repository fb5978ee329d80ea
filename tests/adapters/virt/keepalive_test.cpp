// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/keepalive.hpp"

#include <stdlib.h>
#include <catch2/catch.hpp>

#include <fstream>

using namespace umbra;
using virt::Keepalive;

TEST_CASE("what a file sets of keepalive is read, and libvirt's defaults else") {
  CHECK(virt::keepalive_in("") == Keepalive{5, 5});
  CHECK(virt::keepalive_in("#keepalive_interval = 1\n#keepalive_count = 1\n") == Keepalive{5, 5});
  CHECK(virt::keepalive_in("keepalive_interval = 1\nkeepalive_count=4") == Keepalive{1, 4});
  CHECK(virt::keepalive_in("  keepalive_interval =2 # two\r\nkeepalive_intervals = 9\n") == Keepalive{2, 5});
  CHECK(virt::keepalive_in("keepalive_interval = 1\nkeepalive_interval = 3\n") == Keepalive{3, 5});
  CHECK(virt::keepalive_in("keepalive_interval = -1\n").interval_s == -1);
}

TEST_CASE("a silent peer is given up after one interval more than there are questions") {
  CHECK(Keepalive{5, 5}.gives_up_after() == base::Seconds(30));
  CHECK(Keepalive{1, 4}.gives_up_after() == base::Seconds(5));
  CHECK(Keepalive{2, 0}.gives_up_after() == base::Seconds(2));
  CHECK_FALSE(Keepalive{-1, 5}.gives_up_after());
}

TEST_CASE("the files are those of the daemon that runs, and one that can't be read is told") {
  std::string name = (std::filesystem::temp_directory_path() / "umbra-test-XXXXXX").string();
  REQUIRE(::mkdtemp(name.data()) != nullptr);
  const std::filesystem::path dir = name;
  std::ofstream(dir / "qemu.conf") << "keepalive_interval = 1\n";
  auto files = virt::keepalive_files(dir, dir / "run");
  REQUIRE(files.size() == 2);
  CHECK(files[0].name == "qemu.conf");
  CHECK(files[0].set == Keepalive{1, 5});
  CHECK(files[1].name == "libvirtd.conf");
  CHECK(files[1].set == Keepalive{5, 5});  // there is none

  std::filesystem::create_directories(dir / "run");
  std::ofstream(dir / "run/virtqemud-sock") << "";
  std::filesystem::create_directory(dir / "virtqemud.conf");  // no file can be read there
  files = virt::keepalive_files(dir, dir / "run");
  REQUIRE(files.size() == 3);
  CHECK(files[1].name == "virtqemud.conf");
  CHECK_FALSE(files[1].set);
  CHECK_FALSE(files[1].why_not.empty());
  CHECK(files[2].name == "virtproxyd.conf");
  std::filesystem::remove_all(dir);
}
