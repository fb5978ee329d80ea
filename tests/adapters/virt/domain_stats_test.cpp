// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/domain_stats.hpp"

#include <libvirt/libvirt.h>
#include <catch2/catch.hpp>

#include "adapters/virt/params.hpp"

namespace {

using namespace umbra;
using Figures = std::vector<std::pair<std::string, unsigned long long>>;

model::Counters counters_of(const Figures& figures) {
  REQUIRE(virInitialize() == 0);  // else by the first connection; lists need it too
  virt::TypedParams params;
  for (const auto& [name, value] : figures) params.add(name.c_str(), value);
  model::Counters counters;
  virt::add_stats(params.data(), static_cast<int>(params.count()), counters);
  return counters;
}

}  // namespace

TEST_CASE("a domain's bulk statistics become its counters") {
  const auto c = counters_of({{"cpu.time", 2'500'000'000},
                              {"vcpu.current", 4},
                              {"balloon.current", 4096},
                              {"balloon.available", 4000},
                              {"balloon.unused", 100},
                              {"balloon.usable", 1000},
                              {"net.count", 2},
                              {"net.0.rx.bytes", 1},
                              {"net.0.tx.bytes", 20},
                              {"net.1.rx.bytes", 300},
                              {"net.1.tx.bytes", 4000},
                              {"block.count", 2},
                              {"block.0.rd.bytes", 5},
                              {"block.0.wr.bytes", 60}});
  CHECK(c.cpus == 4);
  CHECK(c.cpu_s == 2.5);
  CHECK(c.memory_total->value == 4000 * 1024);
  CHECK(c.memory_used->value == 3000 * 1024);
  CHECK(c.net_bytes->value == 4321);
  CHECK(c.disk_bytes->value == 65);  // the second is an empty CD-ROM
}

TEST_CASE("a domain that a job holds gives no counter that the next reading could take for zero") {
  const auto c = counters_of({{"cpu.time", 1'000'000'000}, {"block.count", 2}, {"net.count", 1}});
  CHECK_FALSE(c.disk_bytes);
  CHECK_FALSE(c.net_bytes);
  CHECK(c.cpus == 0);
  CHECK(c.cpu_s == 1);
}

TEST_CASE("a domain without disks or network cards used none of them") {
  const auto c = counters_of({{"block.count", 0}, {"net.count", 0}});
  CHECK(c.disk_bytes->value == 0);
  CHECK(c.net_bytes->value == 0);
  CHECK_FALSE(c.cpu_s);
}

TEST_CASE("a balloon without the guest's figures tells the size alone") {
  auto c = counters_of({{"balloon.current", 2048}});
  CHECK(c.memory_total->value == 2048 * 1024);
  CHECK_FALSE(c.memory_used);
  c = counters_of({{"balloon.current", 2048}, {"balloon.available", 0}, {"balloon.usable", 0}});
  CHECK(c.memory_total->value == 2048 * 1024);
  CHECK_FALSE(c.memory_used);
  c = counters_of({{"balloon.available", 1000}, {"balloon.usable", 2000}});
  CHECK(c.memory_used->value == 0);
  CHECK_FALSE(counters_of({}).memory_total);
}
