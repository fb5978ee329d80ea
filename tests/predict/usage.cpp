// SPDX-License-Identifier: Apache-2.0
#include "predict/usage.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>
#include <cmath>

namespace {

using namespace umbra;
using model::ByteCount;
using model::Resource;
using predict::usage;

constexpr std::uint64_t gib = 1u << 30;

model::Counters counters(double at_s, double cpu_s) {
  model::Counters c;
  c.at = base::Instant(base::Millis(static_cast<std::int64_t>(at_s * 1000)));
  c.host = model::HostName("alpha");
  c.vm = model::VmName("web1");
  c.uuid = model::Uuid("3f6b0f5e-0000-4000-8000-000000000001");
  c.incarnation = "7";
  c.cpus = 2;
  c.cpu_s = cpu_s;
  c.memory_total = ByteCount{4 * gib};
  c.memory_used = ByteCount{gib};
  c.net_bytes = ByteCount{1000};
  c.disk_bytes = ByteCount{2000};
  return c;
}

const model::Capacities capacities{{100.0}, {200.0}};

}  // namespace

TEST_CASE("use is what the counters grew by, as a part of capacity") {
  const auto before = counters(100, 50);
  auto now = counters(110, 55);
  now.net_bytes = ByteCount{1500};
  now.disk_bytes = ByteCount{2500};
  const auto sample = usage(before, now, capacities);
  REQUIRE(sample);
  CHECK(sample->at == now.at);
  CHECK(*(*sample)[Resource::cpu] == Approx(0.25));
  CHECK(*(*sample)[Resource::memory] == Approx(0.25));
  CHECK(*(*sample)[Resource::net] == Approx(0.5));
  CHECK(*(*sample)[Resource::disk] == Approx(0.25));
  CHECK_FALSE((*sample)[Resource::gpu]);
}

TEST_CASE("a first reading tells the memory alone") {
  const auto sample = usage(std::nullopt, counters(100, 50), capacities);
  REQUIRE(sample);
  CHECK((*sample)[Resource::memory]);
  CHECK_FALSE((*sample)[Resource::cpu]);
  auto nothing = counters(100, 50);
  nothing.memory_used.reset();
  CHECK_FALSE(usage(std::nullopt, nothing, capacities));
}

TEST_CASE("readings that can't be compared give no rate") {
  auto before = counters(100, 50);
  const auto now = counters(110, 55);
  SECTION("another incarnation") {
    before.incarnation = "6";
  }
  SECTION("another host") {
    before.host = model::HostName("beta");
  }
  SECTION("another VM") {
    before.uuid = model::Uuid("3f6b0f5e-0000-4000-8000-000000000002");
  }
  SECTION("the same time") {
    before.at = now.at;
  }
  SECTION("a clock that went back") {
    before.at = now.at + std::chrono::seconds(1);
  }
  const auto sample = usage(before, now, capacities);
  REQUIRE(sample);
  CHECK_FALSE((*sample)[Resource::cpu]);
  CHECK_FALSE((*sample)[Resource::net]);
  CHECK((*sample)[Resource::memory]);
}

TEST_CASE("a counter that went back silences itself alone") {
  const auto before = counters(100, 50);
  auto now = counters(110, 55);
  now.net_bytes = ByteCount{10};
  const auto sample = usage(before, now, capacities);
  REQUIRE(sample);
  CHECK_FALSE((*sample)[Resource::net]);
  CHECK((*sample)[Resource::cpu]);
  CHECK((*sample)[Resource::disk]);
}

TEST_CASE("CPUs that come or go between two readings make no false saturation") {
  auto before = counters(100, 50);
  auto now = counters(110, 70);  // two CPUs busy all the time
  CHECK(*(*usage(before, now, capacities))[Resource::cpu] == Approx(1));
  now.cpus = 4;  // two were plugged in
  CHECK(*(*usage(before, now, capacities))[Resource::cpu] == Approx(0.5));
  std::swap(before.cpus, now.cpus);  // two were unplugged: half of what was there was in use, not twice of what is left
  CHECK(*(*usage(before, now, capacities))[Resource::cpu] == Approx(0.5));
}

TEST_CASE("another number of CPUs is told, of the same VM, restarted or not") {
  auto before = counters(100, 50);
  auto now = counters(110, 55);
  CHECK_FALSE(predict::resized(std::nullopt, now));
  CHECK_FALSE(predict::resized(before, now));
  before.cpus = 8;
  now.incarnation = "8";
  CHECK(predict::resized(before, now) == "8 CPUs became 2");
  before.cpus = 0;  // not known
  CHECK_FALSE(predict::resized(before, now));
  before.cpus = 8;
  before.uuid = model::Uuid("3f6b0f5e-0000-4000-8000-000000000002");
  CHECK_FALSE(predict::resized(before, now));
}

TEST_CASE("what is not known, no number or zero divides nothing") {
  auto before = counters(100, 50);
  auto now = counters(110, 55);
  SECTION("no CPUs") {
    before.cpus = now.cpus = 0;
  }
  SECTION("not a number of CPUs") {
    before.cpus = now.cpus = std::nan("");
  }
  SECTION("a time that is not a number") {
    now.cpu_s = std::nan("");
  }
  SECTION("a time before that is not a number") {
    before.cpu_s = std::nan("");
  }
  SECTION("a time without end") {
    now.cpu_s = HUGE_VAL;
  }
  SECTION("a reading without the time") {
    before.cpu_s.reset();
  }
  const auto sample = usage(before, now, capacities);
  REQUIRE(sample);
  CHECK_FALSE((*sample)[Resource::cpu]);
  CHECK((*sample)[Resource::memory]);
  now.memory_total = ByteCount{0};
  CHECK_FALSE((*usage(before, now, capacities))[Resource::memory]);
}

TEST_CASE("GPU figures are fractions as they are read, held within bounds") {
  auto now = counters(110, 55);
  now.gpu = 0.4;
  now.gpu_memory = 1.5;
  auto sample = usage(std::nullopt, now, capacities);
  CHECK((*sample)[Resource::gpu] == 0.4);
  CHECK((*sample)[Resource::gpu_memory] == 1.0);
  now.gpu = -1;
  now.gpu_memory = std::nan("");
  sample = usage(std::nullopt, now, capacities);
  CHECK_FALSE((*sample)[Resource::gpu]);
  CHECK_FALSE((*sample)[Resource::gpu_memory]);
}

TEST_CASE("many times the CPUs is no use but a clock that was set back between two readings") {
  const auto before = counters(100, 50);
  auto now = counters(100.5, 74);  // a minute's use in half a second
  auto sample = usage(before, now, capacities);
  REQUIRE(sample);
  CHECK_FALSE((*sample)[Resource::cpu]);
  CHECK((*sample)[Resource::memory]);
  now.gpu = 4e7;
  CHECK_FALSE((*usage(before, now, capacities))[Resource::gpu]);
  now = counters(110, 75);  // emulator threads
  CHECK((*usage(before, now, capacities))[Resource::cpu] == 1.0);
}

TEST_CASE("no capacity gives no fraction") {
  const auto sample = usage(counters(100, 50), counters(110, 55), {{0.0}, {0.0}});
  REQUIRE(sample);
  CHECK_FALSE((*sample)[Resource::net]);
  CHECK_FALSE((*sample)[Resource::disk]);
}

TEST_CASE("no use is negative or, of CPU and memory, above 1") {
  CHECK(rc::check([] {
    auto before = counters(*rc::gen::inRange(0, 100), *rc::gen::inRange(0, 1000));
    auto now = counters(*rc::gen::inRange(0, 100), *rc::gen::inRange(0, 1000));
    now.memory_used = ByteCount{*rc::gen::inRange<std::uint64_t>(0, 8 * gib)};
    now.net_bytes = ByteCount{*rc::gen::inRange<std::uint64_t>(0, 4000)};
    const auto sample = usage(before, now, capacities);
    RC_PRE(sample.has_value());
    for (const auto& value : sample->values) RC_ASSERT((!value || *value >= 0));
    RC_ASSERT((!(*sample)[Resource::cpu] || *(*sample)[Resource::cpu] <= 1));
    RC_ASSERT((!(*sample)[Resource::memory] || *(*sample)[Resource::memory] <= 1));
  }));
}
