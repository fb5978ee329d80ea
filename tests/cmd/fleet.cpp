// SPDX-License-Identifier: Apache-2.0
#include "cmd/fleet.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <new>
#include <thread>

#include "adapters/store/fork.hpp"
#include "adapters/store/rows.hpp"
#include "adapters/store/store.hpp"
#include "adapters/store/temp_dir.hpp"
#include "fakes/thrown.hpp"
#include "model/record.hpp"
#include "ports/metric_source.hpp"
#include "predict/tree_forecaster.hpp"

namespace {

using namespace umbra;
using namespace umbra::cmd;
using base::Kind;
using model::Resource;
using test::at;

constexpr std::int64_t now = 100 * 3600;
constexpr std::size_t samples_each = 90;
constexpr double marker = 0.61803;  ///< a use of CPU that no other VM has

FleetQuestion question_of(std::size_t i) {
  model::Vm vm;
  vm.name = model::VmName("web" + std::to_string(i));
  vm.uuid = model::Uuid("u" + std::to_string(i));
  return {vm, {}, {at(now), base::Seconds(600), model::Priority::normal, "test"}};
}

std::vector<FleetQuestion> questions_of(std::size_t count) {
  std::vector<FleetQuestion> questions;
  for (std::size_t i = 0; i < count; ++i) questions.push_back(question_of(i));
  return questions;
}

/// A course of its own for each VM, a minute apart, up to now.
model::Series series_of(std::size_t i, std::size_t count = samples_each) {
  model::Series series{question_of(i).vm.name, question_of(i).vm.uuid, model::HostName("alpha"), {}};
  for (std::size_t k = 0; k < count; ++k) {
    model::Sample sample;
    sample.at = at(now - 60 * static_cast<std::int64_t>(count - 1 - k));
    sample[Resource::cpu] = 0.002 * static_cast<double>(i) + 0.006 * static_cast<double>((k * (i + 3)) % samples_each);
    if (i % 3 == 0) sample[Resource::memory] = 0.3 + 0.001 * static_cast<double>(i);
    series.samples.push_back(sample);
  }
  return series;
}

void append(ports::HistoryStore& history, const model::Series& series, const model::Uuid& uuid) {
  std::vector<ports::SampleRow> rows;
  for (const model::Sample& sample : series.samples) rows.push_back({uuid, series.vm, series.host, sample});
  history.append(rows);
}

/// Series in memory; `unpacking` is called whenever one is unpacked.
class MemoryHistory final : public ports::HistoryStore {
 public:
  std::vector<model::Series> all;
  std::function<void(const model::Series&)> unpacking = [](const model::Series&) {};

  void append(std::span<const ports::SampleRow>) override {}
  model::Series series(const model::Uuid&, base::Instant) override { return {}; }
  void each_series(base::Instant, const std::function<void(model::Series&&)>&) override {}
  void each_of(std::span<const model::Uuid> uuids, base::Instant,
               const std::function<void(std::size_t, Unpack)>& each) override {
    for (std::size_t i = 0; i < uuids.size(); ++i) {
      const auto one = std::ranges::find(all, uuids[i], &model::Series::uuid);
      if (one == all.end()) continue;
      each(i, [this, one](model::Series& series) {
        unpacking(*one);
        series = *one;
      });
    }
  }
  std::vector<model::Counters> last_counters() override { return {}; }
  void put_counters(std::span<const model::Counters>) override {}
  void tidy(base::Instant, const ports::Retention&) override {}
};

MemoryHistory history_of(std::size_t count) {
  MemoryHistory history;
  for (std::size_t i = 0; i < count; ++i) history.all.push_back(series_of(i));
  return history;
}

/// Trees that run out of memory over a row that holds the marker.
class Fragile final : public ports::Trees {
 public:
  explicit Fragile(std::unique_ptr<ports::Trees> whole) : m_whole(std::move(whole)) {}
  std::vector<float> values(const ports::Matrix& features, std::span<const float> start) const override {
    if (std::ranges::count(features.values, static_cast<float>(marker)) > 0) throw std::bad_alloc();
    return m_whole->values(features, start);
  }
  std::vector<std::byte> save() const override { return m_whole->save(); }

 private:
  std::unique_ptr<ports::Trees> m_whole;
};

class FragileGrower final : public ports::TreeGrower {
 public:
  std::unique_ptr<ports::Trees> grow(const ports::Matrix&, std::span<const float>, std::span<const float>,
                                     const ports::Objective&, const ports::Growth&) const override {
    return nullptr;
  }
  std::unique_ptr<ports::Trees> load(std::span<const std::byte> saved) const override {
    return std::make_unique<Fragile>(trees().load(saved));
  }
};

std::string text_of(const model::Forecast& forecast) {
  return model::to_text(model::to_json(forecast));
}

model::Forecast plain(const ChosenModel& chosen, const model::Series& series, const FleetQuestion& q) {
  return predict::forecast(series, q.configured, *forecaster_of(chosen), q.question);
}

}  // namespace

// The first of all: a child of a process whose trees have run already would wait for threads that it has not.
TEST_CASE("where no thread can be had, the one at hand forecasts") {
  constexpr int no_limit = 77;
  const pid_t child = test::start([] {
    ::alarm(20);
    MemoryHistory history = history_of(3);
    const ChosenModel chosen = choose_model({}, Fallback::none);
    const rlimit one{1, 1};
    if (::setrlimit(RLIMIT_NPROC, &one) != 0) ::_exit(no_limit);
    if (::getuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) ::_exit(no_limit);
    try {
      std::thread([] {}).join();
      ::_exit(no_limit);
    } catch (const std::system_error&) {
    }
    const base::CancelToken cancel;
    for (const FleetAnswer& answer : forecast_fleet(history, cancel, chosen, questions_of(3), at(0))) {
      if (!answer.forecast) throw std::exception();
    }
  });
  const int status = test::reap(child);
  if (status == no_limit) {
    WARN("skipped: threads can't be limited here");
    return;
  }
  CHECK(status == 0);
}

TEST_CASE("a fleet's forecasts are those of each VM alone, under its uuid or its name") {
  constexpr std::size_t count = 150;
  constexpr std::size_t damaged = 70;
  constexpr std::size_t unknown = 71;
  constexpr std::size_t brief = 72;
  const auto uuid_of = [](std::size_t i) {
    const model::Vm vm = question_of(i).vm;
    return i % 7 == 2 ? ports::uuid_by_name(vm.name) : vm.uuid;
  };
  test::TempDir dir;
  store::SqliteStore store(dir.path());
  ports::HistoryStore& history = store.history();
  for (std::size_t i = 0; i < count; ++i) {
    if (i != unknown) append(history, series_of(i, i == brief ? 5 : samples_each), uuid_of(i));
  }
  history.tidy(at(now + 1), {base::Seconds{1e8}, model::ByteCount{1ull << 40}});
  const int changed =
      SQLite::Database((dir / "umbra.db").string(), SQLite::OPEN_READWRITE)
          .exec("UPDATE blocks SET data = x'ff' WHERE key & 4294967295 = (SELECT id FROM series WHERE uuid = 'u70')");
  REQUIRE(changed > 0);

  const ChosenModel chosen = choose_model({}, Fallback::none);
  const std::vector<FleetQuestion> questions = questions_of(count);
  const base::CancelToken cancel;
  const auto answers = forecast_fleet(history, cancel, chosen, questions, at(0));
  REQUIRE(answers.size() == count);
  for (std::size_t i = 0; i < count; ++i) {
    INFO(i);
    REQUIRE(answers[i].forecast.has_value() != answers[i].error.has_value());
    if (i == damaged || i == unknown || i == brief) {
      REQUIRE(answers[i].error);
      CHECK(answers[i].error->kind() == (i == damaged ? Kind::corrupt : Kind::invalid));
      continue;
    }
    REQUIRE(answers[i].forecast);
    CHECK(text_of(*answers[i].forecast) == text_of(plain(chosen, history.series(uuid_of(i), at(0)), questions[i])));
  }
  CHECK(answers[unknown].error->message() == "there is no history of \"web71\" to forecast from");
}

TEST_CASE("a failure that is no VM's own is told of all that shared it, and of no other") {
  MemoryHistory history = history_of(70);
  history.all[3].samples.resize(5);
  history.all[10].samples.back()[Resource::cpu] = marker;
  history.unpacking = [](const model::Series& series) {
    if (series.uuid == model::Uuid("u20")) throw base::Error(Kind::corrupt, "a block is damaged");
  };
  const ChosenModel fragile{std::make_shared<const predict::LoadedModel>(saved_model({}), FragileGrower()), {}};
  const base::CancelToken cancel;
  const auto questions = questions_of(70);
  const auto answers = forecast_fleet(history, cancel, fragile, questions, at(0));
  for (std::size_t i = 0; i < 64; ++i) {
    INFO(i);
    REQUIRE(answers[i].error);
    CHECK(answers[i].error->kind() == (i == 3 ? Kind::invalid : i == 20 ? Kind::corrupt : Kind::internal));
  }
  for (std::size_t i = 64; i < 70; ++i) {
    INFO(i);
    REQUIRE(answers[i].forecast);
    CHECK(text_of(*answers[i].forecast) == text_of(plain(fragile, history.all[i], questions[i])));
  }
}

TEST_CASE("a run that is stopped while VMs are looked at goes no further") {
  MemoryHistory history = history_of(40);
  base::CancelToken cancel;
  int unpacked = 0;
  history.unpacking = [&](const model::Series&) {
    if (++unpacked == 3) cancel.request(SIGTERM);
  };
  const ChosenModel chosen = choose_model({}, Fallback::none);
  CHECK(test::kind_of([&] { forecast_fleet(history, cancel, chosen, questions_of(40), at(0)); }) == Kind::cancelled);
  CHECK(unpacked == 3);
}

TEST_CASE("a run that was stopped before it began looks at nothing") {
  test::TempDir dir;
  store::SqliteStore store(dir.path());
  append(store.history(), series_of(0), model::Uuid("u0"));
  base::CancelToken cancel;
  cancel.request(SIGINT);
  const ChosenModel chosen = choose_model({}, Fallback::none);
  CHECK(test::kind_of([&] { forecast_fleet(store.history(), cancel, chosen, questions_of(1), at(0)); }) ==
        Kind::cancelled);
}
