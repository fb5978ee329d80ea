// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <thread>

#include "adapters/store/rows.hpp"
#include "adapters/store/store.hpp"
#include "adapters/store/temp_dir.hpp"
#include "base/digest.hpp"

using namespace umbra;
using namespace umbra::test;

namespace {

ports::ShadowRow shadow_of(const std::string& uuid, const std::string& vm) {
  ports::ShadowRow row;
  row.vm_uuid = model::Uuid(uuid);
  row.vm = model::VmName(vm);
  row.id = model::ShadowId("shadow-" + uuid);
  row.primary_host = model::HostName("alpha");
  row.host = model::HostName("beta");
  return row;
}

}  // namespace

TEST_CASE("a shadow comes back as it was put, with its newest pass and sync") {
  TempDir dir;
  ports::ShadowRow row = shadow_of("u1", "web1");
  row.level = model::ShadowLevel::warm;
  row.from_pool = true;
  model::Replica replica;
  replica.point = {17};
  replica.root = base::sha256({});
  replica.taken_at = at(500);
  replica.sent = model::ByteCount{4096};
  replica.verified = true;
  replica.method = "bitmap";
  replica.next_due = at(800);
  row.replica = replica;
  model::StateSection state;
  state.point = {17};
  state.memory = model::ByteCount{1 << 20};
  state.processes = 42;
  row.state = state;
  store::SqliteStore(dir.path()).shadows().put(row);

  const auto found = store::SqliteStore(dir.path()).shadows().find(model::VmName("web1"));
  REQUIRE(found);
  CHECK(found->id == row.id);
  CHECK(found->primary_host == row.primary_host);
  CHECK(found->host == row.host);
  CHECK(found->level == model::ShadowLevel::warm);
  CHECK(found->from_pool);
  REQUIRE(found->replica);
  CHECK(found->replica->point == model::PointNumber{17});
  CHECK(found->replica->root == replica.root);
  CHECK(found->replica->sent == replica.sent);
  CHECK(found->replica->next_due == at(800));
  REQUIRE(found->state);
  CHECK(found->state->processes == 42u);
}

TEST_CASE("a VM has one shadow: the next put replaces it") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.shadows().put(shadow_of("u1", "web1"));
  ports::ShadowRow again = shadow_of("u1", "web1-renamed");
  again.host = model::HostName("gamma");
  store.shadows().put(again);
  store.shadows().put(shadow_of("u2", "db1"));
  const auto all = store.shadows().all();
  REQUIRE(all.size() == 2);
  CHECK(all[0].vm == model::VmName("db1"));
  CHECK(all[1].host == model::HostName("gamma"));
  CHECK_FALSE(store.shadows().find(model::VmName("web1")));
  store.shadows().remove(model::Uuid("u1"));
  store.shadows().remove(model::Uuid("u1"));
  CHECK(store.shadows().all().size() == 1);
}

TEST_CASE("of many who take a pooled shadow, one gets it") {
  TempDir dir;
  store::SqliteStore setup(dir.path());
  for (int i = 0; i < 20; ++i) setup.pool().put({model::ShadowId(std::to_string(i)), "small", model::HostName("beta")});
  std::atomic<int> taken{0};
  std::vector<std::thread> takers;
  for (int t = 0; t < 4; ++t) {
    takers.emplace_back([&] {
      store::SqliteStore own(dir.path());
      for (int i = 0; i < 20; ++i) taken += own.pool().take(model::ShadowId(std::to_string(i))) ? 1 : 0;
    });
  }
  for (std::thread& taker : takers) taker.join();
  CHECK(taken == 20);
  CHECK(setup.pool().all().empty());
}

TEST_CASE("threads may share one store") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  std::vector<std::thread> writers;
  for (unsigned t = 0; t < 4; ++t)
    writers.emplace_back([&, t] {
      for (unsigned i = 0; i < 10; ++i) store.history().append(std::vector{sample("u" + std::to_string(t), i, 0.5)});
    });
  for (std::thread& writer : writers) writer.join();
  for (unsigned t = 0; t < 4; ++t)
    CHECK(store.history().series(model::Uuid("u" + std::to_string(t)), at(0)).samples.size() == 10);
}

TEST_CASE("the ledger gives the newest sections, newest last") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  for (int i = 0; i < 5; ++i) store.ledger().add_section(model::Uuid("u1"), "decision", std::to_string(i), at(i));
  store.ledger().add_section(model::Uuid("u1"), "outcome", "x", at(9));
  CHECK(store.ledger().last_section(model::Uuid("u1"), "decision") == "4");
  CHECK(store.ledger().sections(model::Uuid("u1"), "decision", 3) == std::vector<std::string>{"2", "3", "4"});
  CHECK_FALSE(store.ledger().last_section(model::Uuid("u2"), "decision"));
}

TEST_CASE("the ledger forgets what lies a thousand sections back") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  for (int i = 0; i < 1003; ++i) store.ledger().add_section(model::Uuid("u1"), "forecast", std::to_string(i), at(i));
  const auto kept = store.ledger().sections(model::Uuid("u1"), "forecast", 5000);
  REQUIRE(kept.size() == 1000);
  CHECK(kept.front() == "3");
}

namespace {

/// Sections of so many VMs, one round after another; those of a round have its number as JSON, 1,000 bytes long.
void add_rounds(store::SqliteStore& store, const std::string& section, int vms, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    std::vector<ports::LedgerRow> rows;
    for (int vm = 0; vm < vms; ++vm)
      rows.push_back({model::Uuid("u" + std::to_string(vm)), section,
                      std::string(1000 - 4, '0') + std::to_string(1000 + round), at(60 * round)});
    store.ledger().add_sections(rows);
  }
}

std::size_t kept_of(store::SqliteStore& store, int vm, const std::string& section) {
  return store.ledger().sections(model::Uuid("u" + std::to_string(vm)), section, 5000).size();
}

}  // namespace

TEST_CASE("the ledger's forecasts stay within their share of space, the newest of each VM and all decisions kept") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.ledger().add_section(model::Uuid("gone"), "forecast", "last", at(0));
  add_rounds(store, "decision", 5, 30);
  add_rounds(store, "forecast", 50, 30);
  const ports::Retention retention{base::Seconds{1e6}, model::ByteCount{8 * 500 * 1140}};  // room for 500 rows
  store.ledger().tidy(at(1800), retention);
  CHECK(kept_of(store, 7, "forecast") == 10);
  CHECK(store.ledger().last_section(model::Uuid("u7"), "forecast")->ends_with("1029"));
  CHECK(store.ledger().last_section(model::Uuid("gone"), "forecast") == "last");
  CHECK(kept_of(store, 4, "decision") == 30);

  const ports::Retention hardly_any{base::Seconds{1e6}, model::ByteCount{8000}};
  store.ledger().tidy(at(1800), hardly_any);
  for (int vm = 0; vm < 50; ++vm) CHECK(kept_of(store, vm, "forecast") == 1);
  CHECK(kept_of(store, 4, "decision") == 30);
}

TEST_CASE("the ledger forgets forecasts that are older than the history, but a VM's newest") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  add_rounds(store, "forecast", 3, 30);
  add_rounds(store, "outcome", 3, 30);
  const ports::Retention retention{base::Seconds{600}, model::ByteCount{1ull << 40}};
  store.ledger().tidy(at(29 * 60), retention);
  CHECK(kept_of(store, 1, "forecast") == 11);
  store.ledger().tidy(at(100'000), retention);
  CHECK(kept_of(store, 1, "forecast") == 1);
  CHECK(kept_of(store, 1, "outcome") == 30);
}
