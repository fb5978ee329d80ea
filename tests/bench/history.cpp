// SPDX-License-Identifier: Apache-2.0
// The history beside a peer: one row per sample in a plain SQLite table, keyed by series and time, with the same
// durability. Both do the same work in turns, so that what else the machine does meets both; the last column is the
// peer's figure as a multiple of Umbra's own, above 1 where Umbra is better.
//   bench_history [VMS [HOURS]]
#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/core.h>
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include "adapters/store/store.hpp"
#include "adapters/store/temp_dir.hpp"
#include "measure.hpp"

using namespace umbra;
using bench::median;
using bench::seconds_of;
using bench::tell;

namespace {

constexpr base::Millis minute{60'000};
const base::Instant origin{base::Millis{1'790'000'000'000}};

/// CPU that follows the day with noise and bursts, memory that creeps, network and disk that burst: no GPU.
class Fleet {
 public:
  explicit Fleet(unsigned vms) : m_vms(vms) {
    for (unsigned i = 0; i < vms; ++i)
      m_uuids.emplace_back(fmt::format("{:08x}-4f6a-4c1e-9d2b-{:012x}", i * 2654435761u, i));
  }
  std::vector<ports::SampleRow> at_minute(unsigned n) {
    std::vector<ports::SampleRow> rows(m_vms);
    const double day_wave = 0.2 * std::sin(n * 2 * M_PI / 1440);
    for (unsigned i = 0; i < m_vms; ++i) {
      ports::SampleRow& row = rows[i];
      row.uuid = model::Uuid(m_uuids[i]);
      row.vm = model::VmName(fmt::format("vm{}", i));
      row.host = model::HostName(fmt::format("host{}", i / 40));
      row.sample.at = origin + n * minute + base::Millis{i / 40 + m_random() % 20};
      const double burst = m_random() % 50 == 0 ? uniform() * 0.5 : 0;
      row.sample[model::Resource::cpu] = std::clamp(0.3 + day_wave + 0.05 * uniform() + burst, 0.0, 1.0);
      row.sample[model::Resource::memory] = 0.4 + 0.3 * (i % 97) / 97.0 + 0.002 * uniform();
      row.sample[model::Resource::net] = 0.02 * uniform() + burst * 0.3;
      row.sample[model::Resource::disk] = 0.01 * uniform() + burst * 0.2;
    }
    return rows;
  }
  std::vector<model::Counters> counters(unsigned n) {
    std::vector<model::Counters> all(m_vms);
    for (unsigned i = 0; i < m_vms; ++i) {
      model::Counters& c = all[i];
      c.at = origin + n * minute;
      c.host = model::HostName(fmt::format("host{}", i / 40));
      c.vm = model::VmName(fmt::format("vm{}", i));
      c.uuid = model::Uuid(m_uuids[i]);
      c.incarnation = std::to_string(i);
      c.cpu_s = n * 20.0;
      c.memory_total = c.memory_used = c.net_bytes = c.disk_bytes = model::ByteCount{n * 123456789ull};
    }
    return all;
  }
  const std::vector<std::string>& uuids() const { return m_uuids; }

 private:
  double uniform() { return static_cast<double>(m_random()) / 4294967296.0; }
  unsigned m_vms;
  std::vector<std::string> m_uuids;
  std::mt19937 m_random{7};
};

/// What both do.
class Contender {
 public:
  virtual ~Contender() = default;
  virtual void write(const std::vector<ports::SampleRow>& rows, const std::vector<model::Counters>& counters,
                     base::Instant now) = 0;
  /// Every series since `since`; the number of samples.
  virtual std::uint64_t read_all(base::Instant since) = 0;
  virtual std::uint64_t read_one(const std::string& uuid) = 0;
  virtual std::filesystem::path dir() const = 0;
};

class Umbra final : public Contender {
 public:
  void write(const std::vector<ports::SampleRow>& rows, const std::vector<model::Counters>& counters,
             base::Instant now) override {
    m_store.history().append(rows);
    m_store.history().put_counters(counters);
    m_store.history().tidy(now, {base::Seconds{90 * 86400.0}, model::ByteCount{2ull << 30}});
  }
  std::uint64_t read_all(base::Instant since) override {
    std::uint64_t samples = 0;
    m_store.history().each_series(since, [&](model::Series&& series) { samples += series.samples.size(); });
    return samples;
  }
  std::uint64_t read_one(const std::string& uuid) override {
    return m_store.history().series(model::Uuid(uuid), origin).samples.size();
  }
  std::filesystem::path dir() const override { return m_dir.path(); }

 private:
  test::TempDir m_dir;
  store::SqliteStore m_store{m_dir.path()};
};

/// Forgets nothing: the history is shorter than the day that it would keep.
class PlainTable final : public Contender {
 public:
  PlainTable() : m_db((m_dir / "plain.db").string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE) {
    m_db.exec("PRAGMA journal_mode = WAL");
    m_db.exec("PRAGMA synchronous = FULL");
    m_db.exec(
        "CREATE TABLE series (id INTEGER PRIMARY KEY, uuid TEXT UNIQUE);"
        "CREATE TABLE samples (series INTEGER, at INTEGER, cpu REAL, memory REAL, gpu REAL, gpu_memory REAL, net REAL, "
        "disk REAL, PRIMARY KEY (series, at)) WITHOUT ROWID;"
        "CREATE TABLE counters (uuid TEXT PRIMARY KEY, at, vm, host, cpu_s, total, used, net, disk) WITHOUT ROWID");
  }
  void write(const std::vector<ports::SampleRow>& rows, const std::vector<model::Counters>& counters,
             base::Instant) override {
    SQLite::Transaction transaction(m_db);
    write_samples(rows);
    write_counters(counters);
    transaction.commit();
  }
  std::uint64_t read_all(base::Instant since) override {
    SQLite::Statement row(m_db,
                          "SELECT series, at, cpu, memory, gpu, gpu_memory, net, disk FROM samples WHERE at >= ? "
                          "ORDER BY series, at");
    row.bind(1, static_cast<std::int64_t>(since.time_since_epoch().count()));
    return drained(row);
  }
  std::uint64_t read_one(const std::string& uuid) override {
    SQLite::Statement row(m_db,
                          "SELECT series, at, cpu, memory, gpu, gpu_memory, net, disk FROM samples WHERE series = "
                          "(SELECT id FROM series WHERE uuid = ?) ORDER BY at");
    row.bind(1, uuid);
    return drained(row);
  }
  std::filesystem::path dir() const override { return m_dir.path(); }

 private:
  // Statements end before the transaction does: an open one would keep the log from being written back.
  void write_samples(const std::vector<ports::SampleRow>& rows) {
    SQLite::Statement name(m_db, "INSERT OR IGNORE INTO series (uuid) VALUES (?)");
    SQLite::Statement id(m_db, "SELECT id FROM series WHERE uuid = ?");
    SQLite::Statement add(m_db, "INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    for (const ports::SampleRow& row : rows) {
      name.reset();
      name.bind(1, row.uuid.get());
      name.exec();
      id.reset();
      id.bind(1, row.uuid.get());
      id.executeStep();
      add.reset();
      add.bind(1, id.getColumn(0).getInt64());
      add.bind(2, static_cast<std::int64_t>(row.sample.at.time_since_epoch().count()));
      for (int r = 0; r < 6; ++r) {
        const auto& value = row.sample.values[static_cast<std::size_t>(r)];
        if (value)
          add.bind(3 + r, *value);
        else
          add.bind(3 + r);
      }
      add.exec();
    }
  }
  void write_counters(const std::vector<model::Counters>& counters) {
    SQLite::Statement put(m_db, "INSERT OR REPLACE INTO counters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (const model::Counters& c : counters) {
      put.reset();
      put.bind(1, c.uuid.get());
      put.bind(2, static_cast<std::int64_t>(c.at.time_since_epoch().count()));
      put.bind(3, c.vm.get());
      put.bind(4, c.host.get());
      put.bind(5, *c.cpu_s);
      for (int i = 6; i < 10; ++i) put.bind(i, static_cast<std::int64_t>(c.net_bytes->value));
      put.exec();
    }
  }
  std::uint64_t drained(SQLite::Statement& row) {
    std::uint64_t samples = 0;
    model::Series series;
    std::int64_t current = -1;
    for (; row.executeStep(); ++samples) {
      if (row.getColumn(0).getInt64() != current) {
        current = row.getColumn(0).getInt64();
        series.samples.clear();
      }
      model::Sample& sample = series.samples.emplace_back();
      sample.at = base::Instant{base::Millis{row.getColumn(1).getInt64()}};
      for (int r = 0; r < 6; ++r) {
        const SQLite::Column value = row.getColumn(2 + r);
        if (!value.isNull()) sample.values[static_cast<std::size_t>(r)] = value.getDouble();
      }
    }
    return samples;
  }
  test::TempDir m_dir;
  SQLite::Database m_db;
};

double size_of(const Contender& who) {
  double bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(who.dir()))
    if (!file.path().string().ends_with("-wal")) bytes += static_cast<double>(file.file_size());
  return bytes;
}

/// What `act` takes of memory at its highest beyond what was there before it.
double memory_mb(const std::function<void()>& act) {
  const auto highest = [] {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
    return 0.0;
  };
  ::malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";  // the highest is what is there now
  const double before = highest();
  act();
  return highest() - before;
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned vms = argc > 1 ? static_cast<unsigned>(std::stoul(argv[1])) : 10000;
  const unsigned hours = argc > 2 ? static_cast<unsigned>(std::stoul(argv[2])) : 24;
  Fleet fleet(vms);
  Umbra own;
  PlainTable plain;
  const auto both = std::array<Contender*, 2>{&own, &plain};

  // The history before: an hour at a time, as it is not what is measured.
  std::array<double, 2> filling{};
  unsigned now = 0;
  for (unsigned hour = 0; hour + 1 < hours; ++hour) {
    std::vector<ports::SampleRow> rows;
    for (unsigned m = 0; m < 60; ++m, ++now) std::ranges::move(fleet.at_minute(now), std::back_inserter(rows));
    for (std::size_t w = 0; w < 2; ++w)
      filling[w] += seconds_of([&] { both[w]->write(rows, {}, origin + now * minute); });
  }
  // The last hour as observe writes it, minute by minute; an hour falls due within it.
  std::array<std::vector<double>, 2> writes;
  for (unsigned m = 0; m < 60; ++m, ++now) {
    const auto rows = fleet.at_minute(now);
    const auto counters = fleet.counters(now);
    for (std::size_t w = 0; w < 2; ++w) {
      const std::size_t who = (w + m) % 2;
      writes[who].push_back(seconds_of([&] { both[who]->write(rows, counters, origin + now * minute); }));
    }
  }
  const auto sum = [](const std::vector<double>& all) {
    double total = 0;
    for (const double one : all) total += one;
    return total;
  };

  std::array<std::vector<double>, 2> all;
  std::array<std::vector<double>, 2> recent;
  std::array<std::vector<double>, 2> one;
  std::array<std::uint64_t, 2> samples{};
  std::array<double, 2> memory{};
  for (std::size_t w = 0; w < 2; ++w) memory[w] = memory_mb([&] { both[w]->read_all(origin); });
  for (int round = 0; round < 3; ++round) {
    for (std::size_t w = 0; w < 2; ++w) {
      all[w].push_back(seconds_of([&] { samples[w] = both[w]->read_all(origin); }));
      recent[w].push_back(seconds_of([&] { both[w]->read_all(origin + now * minute - 360 * minute); }));
      one[w].push_back(seconds_of([&] {
        for (unsigned i = 0; i < 100; ++i) both[w]->read_one(fleet.uuids()[i * 7919 % vms]);
      }));
    }
  }
  if (samples[0] != samples[1]) {
    fmt::print(stderr, "the two disagree: {} samples and {}\n", samples[0], samples[1]);
    return 1;
  }

  const double per_minute = vms;
  const double days = hours / 24.0;
  fmt::print("{} VMs each minute, {} hours, {} samples\n\n", vms, hours, samples[0]);
  fmt::print("{:<44}{:>14}{:>14} {:<10}{:>8}\n", "", "umbra", "plain table", "", "ratio");
  tell("a minute of all VMs, median", "ms", 1e3 * median(writes[0]), 1e3 * median(writes[1]));
  tell("a minute of all VMs, mean with upkeep", "ms", 1e3 * sum(writes[0]) / 60, 1e3 * sum(writes[1]) / 60);
  tell("a minute of all VMs, the slowest", "ms", 1e3 * std::ranges::max(writes[0]), 1e3 * std::ranges::max(writes[1]));
  tell("rows written", "1000/s", per_minute * 0.06 / sum(writes[0]), per_minute * 0.06 / sum(writes[1]), true);
  tell("an hour at once (filling), mean", "s", filling[0] / (hours - 1), filling[1] / (hours - 1));
  tell("all VMs, whole history", "s", median(all[0]), median(all[1]));
  tell("rows read", "million/s", 1e-6 * static_cast<double>(samples[0]) / median(all[0]),
       1e-6 * static_cast<double>(samples[1]) / median(all[1]), true);
  tell("all VMs, last 6 hours", "s", median(recent[0]), median(recent[1]));
  tell("one VM, whole history", "ms", 10 * median(one[0]), 10 * median(one[1]));
  tell("database, per VM-day", "kB", size_of(own) / 1e3 / vms / days, size_of(plain) / 1e3 / vms / days);
  tell("all VMs, whole history: memory taken", "MB", memory[0], memory[1]);
  return 0;
}
