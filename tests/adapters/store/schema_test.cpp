// SPDX-License-Identifier: Apache-2.0
#include <SQLiteCpp/SQLiteCpp.h>
#include <sys/stat.h>
#include <catch2/catch.hpp>

#include <fstream>

#include "adapters/store/rows.hpp"
#include "adapters/store/schema.hpp"
#include "adapters/store/store.hpp"
#include "adapters/store/temp_dir.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

using namespace umbra;
using namespace umbra::test;

namespace {

constexpr int writable = 0x2 | 0x4;  // SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE

base::Error opening_fails(const TempDir& dir, store::Access access = store::Access::read_write) {
  try {
    store::SqliteStore store(dir.path(), access);
  } catch (const base::Error& e) {
    return e;
  }
  FAIL("the store opened");
  throw 0;
}

std::string file_in(const TempDir& dir) {
  return (dir / "umbra.db").string();
}
std::string content_of(const TempDir& dir) {
  return base::read_text_file(dir / "umbra.db");
}

/// A use of every part of the store.
void use_all(store::SqliteStore& store) {
  store.history().append(std::vector{sample("u1", 1, 0.5)});
  store.history().put_counters(std::vector{model::Counters{}});
  store.shadows().put({});
  store.pool().put({model::ShadowId("s"), "small", model::HostName("beta")});
  store.ledger().add_section(model::Uuid("u1"), "decision", "{}", at(1));
  store.journal().append(store.journal().open_walk(walk_of("u1")), {"freeze", ports::StepPhase::intent, "{}", at(1)});
  store.journal().raise_epoch(model::Uuid("u1"), model::Epoch{1});
  store.models().put({}, std::as_bytes(std::span("file")));
}

}  // namespace

TEST_CASE("every earlier schema is brought up to date, and its rows stay") {
  const auto from = GENERATE(range<std::size_t>(1, store::migrations().size()));
  CAPTURE(from);
  TempDir dir;
  {
    SQLite::Database old(file_in(dir), writable);
    store::migrate(old, from);
    CHECK(old.execAndGet("PRAGMA user_version").getInt64() == static_cast<std::int64_t>(from));
    old.exec(
        "INSERT INTO series (id, uuid, vm, host) VALUES (1, 'u0', 'web0', 'alpha'); INSERT INTO samples (series, at, "
        "cpu) VALUES (1, 5000, "
        "0.25)");
  }
  store::SqliteStore store(dir.path());
  const auto kept = store.history().series(model::Uuid("u0"), at(0));
  REQUIRE(kept.samples.size() == 1);
  CHECK(kept.samples[0][model::Resource::cpu] == 0.25);
  store.history().tidy(at(7200), {base::Seconds{1e6}, model::ByteCount{1 << 30}});
  CHECK(store.history().series(model::Uuid("u0"), at(0)).samples.size() == 1);
  use_all(store);
  SQLite::Database now(file_in(dir));
  CHECK(now.execAndGet("PRAGMA user_version").getInt64() == static_cast<std::int64_t>(store::migrations().size()));
  CHECK(now.execAndGet("SELECT count(*) FROM blocks").getInt64() == 1);
}

TEST_CASE("a migration that fails leaves the older schema as it was") {
  TempDir dir;
  {
    SQLite::Database old(file_in(dir), writable);
    store::migrate(old, 1);
    old.exec("CREATE TABLE pool (in_the_way INTEGER)");  // step 2 makes shadows first, then pool
  }
  CHECK(std::string(opening_fails(dir).what()).find("schema step 2 (shadows and the pool)") != std::string::npos);
  SQLite::Database still(file_in(dir));
  CHECK(still.execAndGet("PRAGMA user_version").getInt64() == 1);
  CHECK_FALSE(still.tableExists("shadows"));
}

TEST_CASE("a newer schema is refused and not touched") {
  TempDir dir;
  store::SqliteStore(dir.path()).pool().put({model::ShadowId("s"), "small", model::HostName("beta")});
  {
    SQLite::Database newer(file_in(dir), writable);
    newer.exec("PRAGMA user_version = 99");
  }
  const std::string before = content_of(dir);
  const base::Error error = opening_fails(dir);
  CHECK(error.kind() == base::Kind::unsupported);
  CHECK(std::string(error.what()) ==
        file_in(dir) + " was written by a newer Umbra: its schema is 99, this program knows 8");
  CHECK(error.hint() == "install that newer version of Umbra, or choose another folder with --state DIR");
  CHECK(content_of(dir) == before);
}

TEST_CASE("a damaged file is told as such, with what to do, and not touched") {
  TempDir dir;
  const std::string garbage(20000, 'x');
  base::write_file_atomic(dir / "umbra.db", garbage);
  const base::Error error = opening_fails(dir);
  CHECK(error.kind() == base::Kind::corrupt);
  CHECK(std::string(error.what()) == "the state database is damaged: " + file_in(dir) + ": file is not a database");
  CHECK(error.hint() == "see with virsh on each host which VMs run, then move it away (mkdir " + dir.path().string() +
                            "/damaged; mv " + dir.path().string() + "/umbra.db* " + dir.path().string() +
                            "/damaged): Umbra starts a new one; history is lost, no VM's data");
  CHECK(content_of(dir) == garbage);
}

TEST_CASE("damage inside a database is told when it is met") {
  TempDir dir;
  {
    store::SqliteStore store(dir.path());
    store.history().append(many_samples(2000, 1));
  }
  {
    std::fstream file(dir / "umbra.db", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(0, std::ios::end);
    const std::streamoff size = file.tellp();
    REQUIRE(size > 100000);
    const std::string garbage(4096, '\xa5');
    for (std::streamoff at_byte = 16 * 4096; at_byte + 4096 <= size; at_byte += 4096) {
      file.seekp(at_byte);
      file.write(garbage.data(), 4096);
    }
  }
  store::SqliteStore store(dir.path());
  try {
    store.history().series(model::Uuid("u0"), at(0));
    FAIL("damaged pages were read");
  } catch (const base::Error& e) {
    CHECK(e.kind() == base::Kind::corrupt);
  }
}

TEST_CASE("another program's database is refused") {
  TempDir dir;
  {
    SQLite::Database other(file_in(dir), writable);
    other.exec("CREATE TABLE notes (text TEXT)");
  }
  const base::Error error = opening_fails(dir);
  CHECK(error.kind() == base::Kind::corrupt);
  CHECK(std::string(error.what()) == file_in(dir) + " is no database of Umbra");
}

TEST_CASE("the state folder is made for its owner alone") {
  TempDir dir;
  const auto state = dir / "var/lib/umbra";
  store::SqliteStore store(state);
  struct stat info {};
  REQUIRE(::stat(state.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
}

TEST_CASE("a state folder that can't be made says what to type") {
  TempDir dir;
  base::write_file_atomic(dir / "file", "");
  try {
    store::SqliteStore store(dir / "file/state");
    FAIL("the store opened");
  } catch (const base::Error& e) {
    CHECK(e.hint() == "run it as root, or choose a folder of your own with --state DIR");
  }
}

TEST_CASE("a dry run without a state works on an empty one and makes nothing") {
  TempDir dir;
  store::SqliteStore store(dir / "state", store::Access::read_only);
  CHECK(store.shadows().all().empty());
  CHECK(store.journal().open_walks().empty());
  CHECK(store.journal().epoch(model::Uuid("u1")) == model::Epoch{0});
  CHECK_FALSE(std::filesystem::exists(dir / "state"));
}

TEST_CASE("a dry run reads what is there, and its writes are refused") {
  TempDir dir;
  store::SqliteStore(dir.path()).pool().put({model::ShadowId("s"), "small", model::HostName("beta")});
  const std::string before = content_of(dir);
  {
    store::SqliteStore store(dir.path(), store::Access::read_only);
    CHECK(store.pool().all().size() == 1);
    try {
      store.pool().take(model::ShadowId("s"));
      FAIL("a dry run wrote");
    } catch (const base::Error& e) {
      CHECK(e.kind() == base::Kind::refused);
    }
  }
  CHECK(content_of(dir) == before);
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 1);
}

TEST_CASE("a dry run does not migrate") {
  TempDir dir;
  {
    SQLite::Database old(file_in(dir), writable);
    store::migrate(old, 2);
  }
  const base::Error error = opening_fails(dir, store::Access::read_only);
  CHECK(error.kind() == base::Kind::refused);
  SQLite::Database still(file_in(dir));
  CHECK(still.execAndGet("PRAGMA user_version").getInt64() == 2);
}
