// SPDX-License-Identifier: Apache-2.0
// The history as it grows old: what is read stays one rising sequence, whatever lies where.
#include <SQLiteCpp/SQLiteCpp.h>
#include <rapidcheck.h>
#include <catch2/catch.hpp>

#include <map>

#include "adapters/store/fork.hpp"
#include "adapters/store/rows.hpp"
#include "adapters/store/samples.hpp"
#include "adapters/store/store.hpp"
#include "adapters/store/temp_dir.hpp"
#include "base/error.hpp"

using namespace umbra;
using namespace umbra::test;
using model::Resource;

namespace {

constexpr std::int64_t hour = 3600;
constexpr std::int64_t day = 24 * hour;
const ports::Retention plenty{base::Seconds{1000.0 * day}, model::ByteCount{1ull << 40}};

/// Tidies until all that is due is done: one call does a bounded part.
void tidy(store::SqliteStore& store, std::int64_t now, const ports::Retention& retention = plenty) {
  for (int i = 0; i < 40; ++i) store.history().tidy(at(now), retention);
}

std::vector<model::Sample> all_of(store::SqliteStore& store, const std::string& uuid, std::int64_t since = 0) {
  return store.history().series(model::Uuid(uuid), at(since)).samples;
}

bool rises(const std::vector<model::Sample>& samples) {
  return std::ranges::adjacent_find(samples, std::ranges::greater_equal{}, &model::Sample::at) == samples.end();
}

double highest(const std::vector<model::Sample>& samples) {
  double most = 0;
  for (const model::Sample& s : samples) most = std::max(most, s.peak(Resource::cpu).value_or(0));
  return most;
}

std::int64_t count_of(const TempDir& dir, const std::string& table) {
  SQLite::Database file((dir / "umbra.db").string());
  return file.execAndGet("SELECT count(*) FROM " + table).getInt64();
}

/// A minute's samples of one VM over so many hours; one of them alone is busy.
std::vector<ports::SampleRow> hours_of(const std::string& uuid, std::int64_t from, std::int64_t hours) {
  std::vector<ports::SampleRow> rows;
  for (std::int64_t t = from + 60; t <= from + hours * hour; t += 60) rows.push_back(sample(uuid, t, 0.1));
  rows[rows.size() / 2].sample[Resource::cpu] = 0.99;
  return rows;
}

}  // namespace

TEST_CASE("packing changes nothing of what is read") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  std::vector<ports::SampleRow> rows = many_samples(2000, 10, 7 * hour);
  rows[50].sample[Resource::gpu].reset();
  store.history().append(rows);
  const auto before = all_of(store, "u3");
  tidy(store, 12 * hour);
  CHECK(count_of(dir, "samples") == 0);
  CHECK(before.size() == 200);
  CHECK(same(all_of(store, "u3"), before));
  CHECK(all_of(store, "u3", 8 * hour).size() == 140);
}

TEST_CASE("samples of the last half hour stay rows, and follow what is packed") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(hours_of("u", 0, 2));
  tidy(store, 2 * hour);
  CHECK(count_of(dir, "samples") == 30);
  const auto samples = all_of(store, "u");
  CHECK(samples.size() == 120);
  CHECK(rises(samples));
}

TEST_CASE("samples grow coarser with age, one grain after the other, and the highest reading stays") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(hours_of("u", 0, 12));
  tidy(store, day + 3 * hour - 1);
  CHECK(all_of(store, "u").size() == 720);
  tidy(store, day + 3 * hour);  // the first three hours are a day old
  CHECK(all_of(store, "u").size() == 36 + 540);
  tidy(store, 12 * hour + day);
  CHECK(all_of(store, "u").size() == 144);
  CHECK(highest(all_of(store, "u")) == 0.99);
  tidy(store, 14 * day + 12 * hour - 1);
  CHECK(all_of(store, "u").size() == 144);
  tidy(store, 14 * day + 12 * hour);
  const auto hours = all_of(store, "u");
  CHECK(hours.size() == 12);
  CHECK(rises(hours));
  CHECK(hours.front().at == at(hour));
  CHECK(highest(hours) == 0.99);
  CHECK(hours.front()[Resource::cpu] == 0.1);
  CHECK_FALSE(hours.front().peaks[0]);  // all its readings were the same
}

TEST_CASE("a series over all grains is one rising sequence, whenever it was tidied") {
  CHECK(rc::check("rising, and the highest reading kept", [] {
    TempDir dir;
    store::SqliteStore store(dir.path());
    std::vector<model::Sample> samples = *any_samples(at(0), false);
    const double top = highest(samples);
    const auto calls = *rc::gen::inRange(0, 4);
    for (int call = 0; call <= calls; ++call) {
      std::vector<ports::SampleRow> rows;  // in any order, parts of them twice
      for (const model::Sample& s : samples) {
        if (*rc::gen::arbitrary<bool>() || call == calls)
          rows.push_back({model::Uuid("u"), model::VmName("vm"), model::HostName("alpha"), s});
      }
      if (*rc::gen::arbitrary<bool>()) std::ranges::reverse(rows);
      store.history().append(rows);
      if (call == calls) break;
      store.history().tidy(at(*rc::gen::inRange<std::int64_t>(0, 2 * day)), plenty);
    }
    const auto before = all_of(store, "u");
    RC_ASSERT(rises(before));
    RC_ASSERT(before.size() <= samples.size());
    if (calls == 0) RC_ASSERT(highest(before) == top);
    tidy(store, 40 * day);
    const auto after = all_of(store, "u");
    RC_ASSERT(rises(after));
    if (calls == 0) RC_ASSERT(highest(after) == top);
    for (const model::Sample& s : after) RC_ASSERT((s.at - at(0)).count() % (hour * 1000) == 0);
  }));
}

TEST_CASE("a clock that steps back loses nothing and harms nothing") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(hours_of("u", 10 * hour, 2));
  tidy(store, 12 * hour + 1800);
  std::vector<ports::SampleRow>
      again;  // the clock was an hour ahead: the same hour comes once more, between the minutes
  for (std::int64_t t = 11 * hour + 30; t < 12 * hour; t += 60) again.push_back(sample("u", t, 0.3));
  again.push_back(sample("u", 11 * hour + 60, 0.7));  // an instant that is packed already
  store.history().append(again);
  const auto mixed = all_of(store, "u");
  CHECK(mixed.size() == 180);
  CHECK(rises(mixed));
  tidy(store, 12 * hour + 1800);
  CHECK(count_of(dir, "samples") == 0);
  const auto packed = all_of(store, "u");
  CHECK(same(packed, mixed));
  CHECK(std::ranges::count(packed, 0.7, [](const auto& s) { return *s[Resource::cpu]; }) == 1);
}

TEST_CASE("a sample that comes after its time was made coarse is passed over") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(hours_of("u", 0, 6));
  tidy(store, 3 * day);
  const auto before = all_of(store, "u");
  REQUIRE(before.size() == 72);
  store.history().append(std::vector{sample("u", hour + 7, 0.9)});
  CHECK(same(all_of(store, "u"), before));
  tidy(store, 3 * day);
  CHECK(same(all_of(store, "u"), before));
}

TEST_CASE("every series is told once, each as if it were asked for alone") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(many_samples(3000, 300, 40 * hour));  // more than one read's worth
  store.history().append(std::vector{sample("host:alpha", 40 * hour, 0.5)});
  tidy(store, 41 * hour);
  std::map<model::Uuid, model::Series> told;
  store.history().each_series(at(40 * hour + 240),
                              [&](model::Series&& series) { CHECK(told.try_emplace(series.uuid, series).second); });
  CHECK(told.size() == 301);
  for (const auto& [uuid, series] : told) {
    const model::Series alone = store.history().series(uuid, at(40 * hour + 240));
    CHECK(same(series.samples, alone.samples));
    CHECK(series.vm == alone.vm);
    CHECK(series.host == model::HostName("alpha"));
  }
  CHECK(told.at(model::Uuid("u7")).samples.size() == 6);
  CHECK(told.at(model::Uuid("host:alpha")).samples.empty());
}

TEST_CASE("series asked for together, near or far apart, are as if each were asked for alone") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(many_samples(3000, 300, 40 * hour));
  tidy(store, 41 * hour);
  const base::Instant since = at(40 * hour + 240);
  for (const unsigned apart : {1u, 40u}) {
    std::vector<model::Uuid> uuids{model::Uuid("nobody")};
    for (unsigned i = 0; i < 300; i += apart) uuids.emplace_back("u" + std::to_string(i));
    uuids.push_back(uuids.back());  // twice
    std::vector<ports::HistoryStore::Unpack> read(uuids.size());
    store.history().each_of(uuids, since, [&](std::size_t which, ports::HistoryStore::Unpack unpack) {
      CHECK_FALSE(read.at(which));
      read[which] = std::move(unpack);
    });
    CHECK_FALSE(read.front());
    model::Series series;
    for (std::size_t i = 1; i < uuids.size(); ++i) {
      REQUIRE(read[i]);
      read[i](series);
      const model::Series alone = store.history().series(uuids[i], since);
      CHECK(series.uuid == uuids[i]);
      CHECK(series.vm == alone.vm);
      CHECK(series.host == alone.host);
      CHECK(series.samples.size() == 6);
      CHECK(same(series.samples, alone.samples));
    }
  }
}

TEST_CASE("a number that a newcomer got while series were read is not taken for the one that is gone") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(many_samples(600, 300));  // more than two reads' worth
  std::vector<model::Uuid> uuids;
  for (unsigned i = 0; i < 300; ++i) uuids.emplace_back("u" + std::to_string(i));
  std::vector<std::string> told;
  store.history().each_of(uuids, at(0), [&](std::size_t which, ports::HistoryStore::Unpack) {
    if (told.empty()) {
      SQLite::Database((dir / "umbra.db").string(), 0x2)
          .exec("UPDATE series SET uuid = 'newcomer' WHERE id = (SELECT max(id) FROM series)");
    }
    told.push_back(uuids[which].get());
  });
  CHECK(told.size() == 299);
  for (const model::Uuid& uuid : uuids) {
    const bool is_known = !store.history().series(uuid, at(0)).samples.empty();
    CHECK((std::ranges::count(told, uuid.get()) == 1) == is_known);
  }
}

TEST_CASE("who is told of a series may write to the store") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(many_samples(10, 2));
  store.history().each_series(
      at(0), [&](model::Series&& series) { store.ledger().add_section(series.uuid, "forecast", "{}", at(1)); });
  CHECK(store.ledger().last_section(model::Uuid("u1"), "forecast") == "{}");
  const std::vector<model::Uuid> uuids{model::Uuid("u0"), model::Uuid("u1")};
  store.history().each_of(uuids, at(0), [&](std::size_t which, ports::HistoryStore::Unpack) {
    store.ledger().add_section(uuids[which], "placement", "{}", at(1));
  });
  CHECK(store.ledger().last_section(model::Uuid("u1"), "placement") == "{}");
}

TEST_CASE("what is older than is to be kept goes with the slice that holds it") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(hours_of("u", 0, 4));
  tidy(store, 4 * hour + 1800);
  const ports::Retention two_hours{base::Seconds{2.0 * hour}, plenty.max_size};
  store.history().tidy(at(4 * hour + 1800), two_hours);
  const auto samples = all_of(store, "u");
  CHECK(samples.front().at == at(2 * hour + 1860));
  CHECK(samples.size() == 90);
}

TEST_CASE("a history that is too large loses its oldest part, and fits") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(hours_of("u", 0, 20));
  tidy(store, 20 * hour + 1800);
  SQLite::Database file((dir / "umbra.db").string());
  const auto bytes = [&] { return file.execAndGet("SELECT sum(bytes) FROM slices").getInt64(); };
  const std::int64_t half = bytes() / 2;
  store.history().tidy(at(20 * hour + 1800), {plenty.keep, model::ByteCount{static_cast<std::uint64_t>(half)}});
  CHECK(bytes() <= half);
  CHECK(bytes() > half * 9 / 10);
  const auto samples = all_of(store, "u");
  CHECK(samples.back().at == at(20 * hour));
  CHECK(samples.size() > 500);
  CHECK(samples.size() <= 600);
}

TEST_CASE("a VM that is gone is forgotten with its last sample, and its number serves no other before") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  const ports::Retention three_days{base::Seconds{3.0 * day}, plenty.max_size};
  store.history().append(hours_of("stays", 0, 100));
  store.history().append(hours_of("goes", 0, 1));  // the newest number
  for (std::int64_t now = 2 * hour; now < 101 * hour; now += hour) {
    store.history().tidy(at(now), three_days);
    // A newcomer would get the number of the one that is gone, and with it whatever blocks it left.
    if (now == 70 * hour) store.history().append(std::vector{sample("comes", 70 * hour, 0.5)});
  }
  CHECK(all_of(store, "goes").empty());
  CHECK(all_of(store, "comes").size() == 1);
  CHECK(count_of(dir, "series") == 2);
}

TEST_CASE("a VM that was renamed keeps its history") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(hours_of("u", 0, 1));
  tidy(store, 2 * hour);
  ports::SampleRow renamed = sample("u", 2 * hour, 0.5);
  renamed.vm = model::VmName("web-new");
  store.history().append(std::vector{renamed});
  const model::Series series = store.history().series(model::Uuid("u"), at(0));
  CHECK(series.vm == model::VmName("web-new"));
  CHECK(series.samples.size() == 61);
}

TEST_CASE("values that make no sense never reach the table") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  ports::SampleRow row = sample("u", 60, std::numeric_limits<double>::quiet_NaN());
  row.sample[Resource::memory] = 0.5;
  row.sample[Resource::net] = -1;
  row.sample[Resource::disk] = 1e300;
  ports::SampleRow nothing = sample("u", 120, -5);
  ports::SampleRow never = sample("u", 180, 0.5);
  never.sample.at = base::Instant::max();
  ports::SampleRow ancient = never;
  ancient.sample.at = base::Instant::min();
  store.history().append(std::vector{row, nothing, never, ancient});
  tidy(store, hour);
  const auto samples = all_of(store, "u");
  REQUIRE(samples.size() == 1);
  CHECK(samples[0][Resource::memory] == 0.5);
  for (const Resource r : {Resource::cpu, Resource::net, Resource::disk}) CHECK_FALSE(samples[0][r]);
}

TEST_CASE("rows of an earlier schema that make no sense are left out when they are read and packed") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(std::vector{sample("u", 60, 0.5)});
  SQLite::Database((dir / "umbra.db").string(), 0x2)
      .exec("UPDATE samples SET cpu = -3, memory = 9e99, net = 0.123456789");
  CHECK_FALSE(all_of(store, "u").at(0)[Resource::cpu]);
  tidy(store, hour);
  CHECK_FALSE(all_of(store, "u").at(0)[Resource::memory]);
  CHECK(all_of(store, "u").at(0)[Resource::net] == 0.12346);
}

TEST_CASE("a block that is damaged names the series and does no harm to others") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(many_samples(20, 2));
  tidy(store, hour);
  SQLite::Database((dir / "umbra.db").string(), 0x2)
      .exec("UPDATE blocks SET data = x'ff' WHERE key & 4294967295 = (SELECT id FROM series WHERE uuid = 'u0')");
  CHECK_THROWS_WITH(all_of(store, "u0"), Catch::Contains("the history of u0: a block of the history is damaged"));
  CHECK(all_of(store, "u1").size() == 10);
}

TEST_CASE("a process killed while it tidies loses no sample and doubles none") {
  constexpr std::size_t samples_each = 5 * 60;
  TempDir dir;
  int killed = 0;
  {
    store::SqliteStore store(dir.path());
    std::vector<ports::SampleRow> rows;
    for (int vm = 0; vm < 100; ++vm)
      std::ranges::move(hours_of("u" + std::to_string(vm), 0, 5), std::back_inserter(rows));
    store.history().append(rows);
  }
  for (useconds_t after = 500; after < 60000; after += 4000) {
    Signpost tidying;
    const pid_t child = start([&] {
      store::SqliteStore store(dir.path());
      tidying.reached();
      store.history().tidy(at(6 * hour), plenty);
    });
    tidying.await();
    ::usleep(after);
    ::kill(child, SIGKILL);
    killed += reap(child) == 128 + SIGKILL ? 1 : 0;
    store::SqliteStore store(dir.path());
    CHECK(all_of(store, "u7").size() == samples_each);
    CHECK(rises(all_of(store, "u7")));
  }
  CHECK(killed > 0);
  store::SqliteStore store(dir.path());
  tidy(store, 6 * hour);
  CHECK(count_of(dir, "samples") == 0);
  CHECK(all_of(store, "u99").size() == samples_each);
}

TEST_CASE("a reader that comes while another process packs sees every sample once") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  store.history().append(hours_of("u", 0, 10));
  store.history().append(hours_of("v", 0, 10));
  const pid_t child = start([&] {
    store::SqliteStore other(dir.path());
    for (std::int64_t now = 0; now <= 11 * hour; now += 600) other.history().tidy(at(now), plenty);
  });
  int looks = 0;
  for (int raw = 0; ::waitpid(child, &raw, WNOHANG) == 0; ++looks) {
    REQUIRE(all_of(store, "u").size() == 600);
    store.history().each_series(at(0), [](model::Series&& series) { REQUIRE(series.samples.size() == 600); });
  }
  CHECK(looks > 0);
  CHECK(count_of(dir, "samples") == 0);
}
