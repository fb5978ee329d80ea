// SPDX-License-Identifier: Apache-2.0
// Real files of a journal, cut at every size and with bytes changed: what was never acknowledged is cut off and told,
// anything else is read as it was written, or refused and not touched.
#include <SQLiteCpp/SQLiteCpp.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <fstream>
#include <map>
#include <random>

#include "adapters/store/fork.hpp"
#include "adapters/store/log_tail.hpp"
#include "adapters/store/rows.hpp"
#include "adapters/store/store.hpp"
#include "adapters/store/temp_dir.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/log.hpp"

using namespace umbra;
using namespace umbra::test;
using ports::StepPhase;

namespace {

namespace fs = std::filesystem;
using Files = std::map<std::string, std::string>;

const model::Uuid vm{"u1"};

/// The journal in words: each of a row's columns.
std::vector<std::string> told_by(ports::Journal& journal) {
  std::vector<std::string> told;
  const auto walks = journal.walks(vm);
  for (auto walk = walks.rbegin(); walk != walks.rend(); ++walk) {
    told.push_back(walk->kind + walk->vm.get() + walk->from.get() + walk->to.get() + walk->plan + walk->state +
                   std::to_string(walk->epoch.value) + base::to_rfc3339(walk->started));
    for (const ports::JournalEntry& entry : journal.entries(walk->id))
      told.push_back(entry.step + std::to_string(static_cast<int>(entry.phase)) + entry.data +
                     base::to_rfc3339(entry.at));
  }
  for (const ports::Walk& open : journal.open_walks()) told.push_back("open " + std::to_string(open.id));
  told.push_back(std::to_string(journal.epoch(vm).value));
  return told;
}

void write_walk(ports::Journal& journal) {
  const std::int64_t id = journal.open_walk(walk_of("u1"));
  for (const char* step : {"lease", "freeze", "finish", "prepare", "move"}) {
    journal.append(id, {step, StepPhase::intent, R"({"what":"is about to be touched"})", at(10)});
    journal.append(id, {step, StepPhase::done, R"({"what":"was done"})", at(11)});
  }
}

/// Of a database that was closed, or what a process leaves that dies with a walk in the log alone.
Files left_behind(bool in_the_log) {
  TempDir dir;
  {
    store::SqliteStore store(dir.path());
    store.journal().raise_epoch(vm, model::Epoch{3});
    const std::int64_t id = store.journal().open_walk(walk_of("u1"));
    store.journal().close_walk(id, "done");
    if (!in_the_log) write_walk(store.journal());
  }
  if (in_the_log) {
    REQUIRE(reap(start([&] {
              store::SqliteStore store(dir.path());
              write_walk(store.journal());
              ::_exit(0);  // no destructor: the log stays
            })) == 0);
  }
  Files files;
  for (const char* name : {"umbra.db", "umbra.db-wal"}) {
    if (fs::exists(dir / name)) files[name] = base::read_text_file(dir / name);
  }
  REQUIRE((files.size() == 2) == in_the_log);
  return files;
}

void put(const TempDir& dir, const Files& files) {
  fs::remove(dir / "umbra.db-shm");
  fs::remove(dir / "umbra.db-wal");
  for (const auto& [name, content] : files) {
    std::ofstream file(dir / name, std::ios::binary | std::ios::trunc);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
  }
}

Files found_in(const TempDir& dir) {
  Files files;
  for (const auto& entry : fs::directory_iterator(dir.path()))
    files[entry.path().filename()] = base::read_text_file(entry.path());
  return files;
}

/// What a new process reads; nothing where it refuses. Then the kind is right, there is a hint, and all is as it was.
std::optional<std::vector<std::string>> read_anew(const TempDir& dir, const Files& files) {
  put(dir, files);
  try {
    store::SqliteStore store(dir.path());
    return told_by(store.journal());
  } catch (const base::Error& e) {
    INFO(e.what());
    CHECK((e.kind() == base::Kind::corrupt || e.kind() == base::Kind::unsupported));
    CHECK_FALSE(e.hint().empty());
    Files after = found_in(dir);
    after.erase("umbra.db-shm");
    CHECK(after == files);
    return std::nullopt;
  }
}

bool begins(const std::vector<std::string>& whole, const std::vector<std::string>& part) {
  // The last line is the epoch, before it lie the open walks: both are of the whole journal.
  const auto entries = [](const std::vector<std::string>& told) {
    std::vector<std::string> some;
    std::copy_if(told.begin(), told.end() - 1, std::back_inserter(some),
                 [](const std::string& line) { return !line.starts_with("open "); });
    return some;
  };
  const auto all = entries(whole);
  const auto some = entries(part);
  return some.size() <= all.size() && std::equal(some.begin(), some.end(), all.begin()) && whole.back() == part.back();
}

}  // namespace

TEST_CASE("a log that is cut at any size loses its torn tail and nothing before it") {
  const Files whole = left_behind(true);
  TempDir dir;
  const auto everything = read_anew(dir, whole);
  REQUIRE(everything);
  REQUIRE(everything->size() == 14);
  const std::string& log = whole.at("umbra.db-wal");
  base::set_log_level(base::Level::error);  // each cut is told
  std::size_t before = 0;
  // Each size near the seams of frames, and some of those between.
  for (std::size_t size = 0; size <= log.size(); ++size) {
    const std::size_t in_frame = size < 32 ? 0 : (size - 32) % 4120;
    if (in_frame > 30 && in_frame < 4100 && in_frame % 97 != 0) continue;
    CAPTURE(size);
    Files cut = whole;
    cut["umbra.db-wal"] = log.substr(0, size);
    put(dir, cut);
    const store::LogTail tail = store::look_at_log(dir / "umbra.db-wal");
    REQUIRE(tail.state != store::LogState::damaged);
    REQUIRE((tail.state == store::LogState::torn) == (size != tail.committed));
    const auto read = read_anew(dir, cut);
    REQUIRE(read);
    REQUIRE(begins(*everything, *read));
    REQUIRE(read->size() >= before);  // a longer log holds no less
    before = read->size();
  }
  base::set_log_level(base::Level::info);
  CHECK(before == everything->size());
}

TEST_CASE("a torn tail is cut off by whoever may write, and told to whoever may not") {
  Files files = left_behind(true);
  files["umbra.db-wal"].resize(files["umbra.db-wal"].size() - 100);
  TempDir dir;
  put(dir, files);
  { store::SqliteStore dry(dir.path(), store::Access::read_only); }
  put(dir, files);
  store::SqliteStore store(dir.path());
  CHECK(store::look_at_log(dir / "umbra.db-wal").size == 0);
  CHECK(store.journal().entries(2).size() == 9);
}

TEST_CASE("a byte that changed in the log is refused, wherever it is, and nothing touched") {
  const Files whole = left_behind(true);
  TempDir dir;
  const auto everything = read_anew(dir, whole);
  std::size_t refused = 0;
  std::mt19937 random(1);
  for (std::size_t at_byte = 0; at_byte < whole.at("umbra.db-wal").size(); ++at_byte) {
    const std::size_t in_frame = at_byte < 32 ? 0 : (at_byte - 32) % 4120;
    if (in_frame > 24 && random() % 40 != 0) continue;
    CAPTURE(at_byte);
    Files changed = whole;
    changed["umbra.db-wal"][at_byte] = static_cast<char>(~changed["umbra.db-wal"][at_byte]);
    const auto read = read_anew(dir, changed);
    REQUIRE_FALSE(read);
    ++refused;
  }
  CHECK(refused > 500);
}

TEST_CASE("a database that is cut is refused, and nothing touched") {
  const Files whole = left_behind(false);
  TempDir dir;
  const std::string& database = whole.at("umbra.db");
  for (std::size_t size = 1; size < database.size(); size += size < 600 ? 1 : 509) {
    CAPTURE(size);
    Files cut = whole;
    cut["umbra.db"] = database.substr(0, size);
    REQUIRE_FALSE(read_anew(dir, cut));
  }
  Files empty = left_behind(true);
  empty["umbra.db"].clear();  // beside a log it is no new one
  CHECK_FALSE(read_anew(dir, empty));
}

TEST_CASE("a byte that changed in the database is refused, or the journal is read as it was written") {
  const Files whole = left_behind(false);
  TempDir dir;
  const auto everything = read_anew(dir, whole);
  REQUIRE(everything);
  std::size_t refused = 0;
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    Files changed = whole;
    std::string& database = changed["umbra.db"];
    // The header and the schema in each case, then anywhere.
    const std::size_t at_byte = i < 100 ? static_cast<std::size_t>(i) : random() % database.size();
    CAPTURE(at_byte);
    database[at_byte] = static_cast<char>(database[at_byte] ^ (1 << random() % 8));
    const auto read = read_anew(dir, changed);
    if (read) REQUIRE(*read == *everything);
    refused += read ? 0 : 1;
  }
  CHECK(refused > 50);
}

TEST_CASE("a row of the journal that is not what was written is named") {
  TempDir dir;
  put(dir, left_behind(false));
  {
    SQLite::Database db((dir / "umbra.db").string(), SQLite::OPEN_READWRITE);
    db.exec("UPDATE journal SET data = '{}' WHERE id = 4");
  }
  store::SqliteStore store(dir.path());
  try {
    store.journal().entries(2);
    FAIL("it was read");
  } catch (const base::Error& e) {
    CHECK(e.kind() == base::Kind::corrupt);
    CHECK(std::string(e.what()) == "the journal of switchovers is damaged: entry 4 of walk 2 is not what was written");
  }
}

TEST_CASE("rows from before there were digests are read") {
  TempDir dir;
  put(dir, left_behind(false));
  {
    SQLite::Database db((dir / "umbra.db").string(), SQLite::OPEN_READWRITE);
    db.exec("UPDATE journal SET digest = ''; UPDATE walks SET digest = ''; UPDATE epochs SET digest = ''");
  }
  store::SqliteStore store(dir.path());
  CHECK(store.journal().entries(2).size() == 10);
  store.journal().close_walk(2, "undone");
  CHECK(store.journal().open_walks().empty());
}

TEST_CASE("a log that is begun anew keeps nothing of the old one") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  const auto size = [&] { return store::look_at_log(dir / "umbra.db-wal").size; };
  std::uint64_t largest = 0;
  // It is begun anew once all of it is in the database.
  for (int i = 0; i < 300 && size() >= largest; ++i) {
    largest = size();
    store.history().append(many_samples(5000, 1, i * 500'000));
  }
  CHECK(largest > 1'000'000);
  CHECK(size() < largest / 2);
  CHECK(store::look_at_log(dir / "umbra.db-wal").committed == size());
}

TEST_CASE("what another process is writing just now is taken for neither torn nor damaged") {
  TempDir dir;
  { store::SqliteStore first(dir.path()); }
  Signpost begun;
  const pid_t writer = start([&] {
    store::SqliteStore store(dir.path());
    store.history().append(many_samples(100, 1));
    begun.reached();
    for (int i = 1; i < 60; ++i) store.history().append(many_samples(2000, 1, i * 200'000));
  });
  begun.await();
  int opened = 0;
  while (::waitpid(writer, nullptr, WNOHANG) == 0) {
    store::SqliteStore store(dir.path(), store::Access::read_only);
    CHECK(store.journal().open_walks().empty());
    ++opened;
  }
  CHECK(opened > 3);
}
