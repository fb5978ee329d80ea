// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "adapters/store/rows.hpp"
#include "adapters/store/store.hpp"
#include "adapters/store/temp_dir.hpp"

using namespace umbra;
using namespace umbra::test;
using model::Resource;

TEST_CASE("samples come back oldest first, with missing values missing") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  ports::SampleRow late = sample("u1", 120, 0.75);
  late.sample[Resource::memory] = 0.25;
  store.history().append(std::vector{late, sample("u1", 60, 0.5), sample("u2", 60, 0.1)});

  const model::Series series = store.history().series(model::Uuid("u1"), at(0));
  CHECK(series.vm == model::VmName("vm-u1"));
  CHECK(series.host == model::HostName("alpha"));
  REQUIRE(series.samples.size() == 2);
  CHECK(series.samples[0].at == at(60));
  CHECK(series.samples[0][Resource::cpu] == 0.5);
  CHECK_FALSE(series.samples[0][Resource::memory].has_value());
  CHECK(series.samples[1][Resource::memory] == 0.25);
}

TEST_CASE("a series starts at the instant that was asked for") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(many_samples(10, 1));
  CHECK(store.history().series(model::Uuid("u0"), at(300)).samples.size() == 5);
}

TEST_CASE("an unknown uuid has an empty series") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  CHECK(store.history().series(model::Uuid("nobody"), at(0)).samples.empty());
}

TEST_CASE("a series bears the host of its newest row") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  ports::SampleRow moved = sample("u1", 120, 0.5);
  moved.host = model::HostName("beta");
  store.history().append(std::vector{sample("u1", 60, 0.5), moved});
  CHECK(store.history().series(model::Uuid("u1"), at(0)).host == model::HostName("beta"));
}

TEST_CASE("the same instant told twice is one sample, the later one") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(std::vector{sample("u1", 60, 0.5)});
  store.history().append(std::vector{sample("u1", 60, 0.6), sample("u1", 60, 0.7)});
  const auto samples = store.history().series(model::Uuid("u1"), at(0)).samples;
  REQUIRE(samples.size() == 1);
  CHECK(samples[0][Resource::cpu] == 0.7);
}

TEST_CASE("what is older than asked is forgotten, the rest stays") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(many_samples(20, 2));
  store.history().append(std::vector{sample("old", 10, 0.5)});
  store.history().tidy(at(300), {base::Seconds{0}, model::ByteCount{1 << 30}});
  CHECK(store.history().series(model::Uuid("u0"), at(0)).samples.size() == 5);
  CHECK(store.history().series(model::Uuid("u1"), at(0)).samples.size() == 5);
  CHECK(store.history().series(model::Uuid("old"), at(0)).vm == model::VmName(""));
}

TEST_CASE("counters are kept once per VM and per host") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  model::Counters vm;
  vm.at = at(60);
  vm.host = model::HostName("alpha");
  vm.vm = model::VmName("web1");
  vm.uuid = model::Uuid("u1");
  vm.incarnation = "7";
  vm.cpus = 2;
  vm.cpu_s = 12.5;
  vm.net_bytes = model::ByteCount{1ull << 40};
  model::Counters host;
  host.at = at(60);
  host.host = model::HostName("alpha");
  store.history().put_counters(std::vector{vm, host});
  vm.host = model::HostName("beta");  // it moved
  vm.at = at(120);
  store.history().put_counters(std::vector{vm});

  const auto all = store.history().last_counters();
  REQUIRE(all.size() == 2);
  CHECK(all[0].uuid.get().empty());
  CHECK_FALSE(all[0].cpu_s.has_value());
  CHECK(all[1].host == model::HostName("beta"));
  CHECK(all[1].at == at(120));
  CHECK(all[1].incarnation == "7");
  CHECK(all[1].cpu_s == 12.5);
  CHECK(all[1].net_bytes == model::ByteCount{1ull << 40});
  CHECK_FALSE(all[1].memory_used.has_value());
}

TEST_CASE("ten thousand samples are written in well under a second") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  const auto rows = many_samples(10000, 500);
  const base::Millis start = base::system_clock().steady();
  store.history().append(rows);
  const base::Millis took = base::system_clock().steady() - start;
  INFO("took " << took.count() << " ms");
  CHECK(took < base::Millis{1000});
  CHECK(store.history().series(model::Uuid("u499"), at(0)).samples.size() == 20);
}
