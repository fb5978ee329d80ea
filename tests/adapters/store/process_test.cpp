// SPDX-License-Identifier: Apache-2.0
// Several processes at once, and one that is killed.
#include <SQLiteCpp/SQLiteCpp.h>
#include <catch2/catch.hpp>

#include <random>

#include "adapters/store/fork.hpp"
#include "adapters/store/rows.hpp"
#include "adapters/store/store.hpp"
#include "adapters/store/temp_dir.hpp"
#include "base/error.hpp"

using namespace umbra;
using namespace umbra::test;

TEST_CASE("processes that open a new state at the same instant all get it") {
  for (int round = 0; round < 10; ++round) {
    TempDir dir;
    std::vector<pid_t> children;
    for (int i = 0; i < 6; ++i)
      children.push_back(start([&, i] {
        store::SqliteStore store(dir / "state");
        store.history().append(std::vector{sample("u" + std::to_string(i), 1, 0.5)});
      }));
    for (const pid_t child : children) CHECK(reap(child) == 0);
    store::SqliteStore store(dir / "state");
    for (int i = 0; i < 6; ++i)
      CHECK(store.history().series(model::Uuid("u" + std::to_string(i)), at(0)).samples.size() == 1);
  }
}

TEST_CASE("two processes that write at once lose nothing") {
  TempDir dir;
  const auto write = [&](const std::string& uuid) {
    return start([&, uuid] {
      store::SqliteStore store(dir.path());
      for (int i = 0; i < 100; ++i) store.history().append(std::vector{sample(uuid, i, 0.5)});
    });
  };
  const pid_t a = write("a");
  const pid_t b = write("b");
  CHECK(reap(a) == 0);
  CHECK(reap(b) == 0);
  store::SqliteStore store(dir.path());
  CHECK(store.history().series(model::Uuid("a"), at(0)).samples.size() == 100);
  CHECK(store.history().series(model::Uuid("b"), at(0)).samples.size() == 100);
}

TEST_CASE("a process killed in a bulk write leaves a sound database and no part of a write") {
  constexpr unsigned bulk = 5000;
  TempDir dir;
  std::mt19937 random(1);
  int killed = 0;
  std::int64_t next_start = 0;
  for (int round = 0; round < 12; ++round) {
    Signpost writing;
    const std::int64_t first = next_start;
    const pid_t child = start([&] {
      store::SqliteStore store(dir.path());
      std::vector<std::vector<ports::SampleRow>> batches;
      for (int i = 0; i < 20; ++i) batches.push_back(many_samples(bulk, 1, first + std::int64_t{i} * bulk * 60));
      writing.reached();
      for (const auto& batch : batches) store.history().append(batch);
    });
    writing.await();
    ::usleep(static_cast<useconds_t>(random() % 100000));  // any instant will do: none may harm
    ::kill(child, SIGKILL);
    killed += reap(child) == 128 + SIGKILL ? 1 : 0;
    next_start += std::int64_t{20} * bulk * 60;

    store::SqliteStore store(dir.path());
    CHECK(store.history().series(model::Uuid("u0"), at(0)).samples.size() % bulk == 0);
    SQLite::Database file((dir / "umbra.db").string());
    CHECK(file.execAndGet("PRAGMA integrity_check").getString() == "ok");
  }
  CHECK(killed > 6);
}

TEST_CASE("a reader in another process is not kept waiting by a writer") {
  TempDir dir;
  store::SqliteStore reader(dir.path());
  reader.history().append(std::vector{sample("u1", 1, 0.5)});
  SQLite::Database writer((dir / "umbra.db").string(), 0x2);
  writer.exec("BEGIN IMMEDIATE; DELETE FROM samples");
  CHECK(reader.history().series(model::Uuid("u1"), at(0)).samples.size() == 1);
}
