// SPDX-License-Identifier: Apache-2.0
// A fleet's forecasts: what `umbra predict --all` takes, from the history on disk to the records, in a fresh process.
// Beside it the same history forecast by a trend of each series alone, the plainest peer that still gives a
// probability, a time and a peak; and trees asked one row at a time. All work in turns, so that what else the machine
// does meets each; the last column is the peer's figure as a multiple of Umbra's own, above 1 where Umbra is better.
//   bench_forecasts [VMS [RECORDING]]      all recordings, or those with that in their name
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <fstream>
#include <random>

#include "adapters/store/store.hpp"
#include "adapters/store/temp_dir.hpp"
#include "adapters/xgb/default_model.hpp"
#include "adapters/xgb/grower.hpp"
#include "adapters/xgb/model_file.hpp"
#include "measure.hpp"
#include "predict/forecast.hpp"
#include "predict/statistical.hpp"
#include "predict/tree_forecaster.hpp"

using namespace umbra;
using bench::median;
using bench::seconds_of;
using bench::tell;

namespace {

constexpr int rounds = 3;
/// Of so many VMs the peers forecast: more takes minutes.
constexpr unsigned asked_by_trend = 1000;
constexpr unsigned asked_one_by_one = 200;

/// What is aimed at with 10,000 VMs on 2 cores; a part of the fleet is to take that part of the time.
constexpr double most_seconds = 10;
constexpr double most_mib = 1024;

struct Recording {
  const char* name;
  base::Millis step;
  unsigned samples;
  unsigned resources = 4;
  unsigned part = 1;      ///< of the fleet, as 1 in so many: to write a long history takes minutes
  unsigned together = 1;  ///< samples of a VM that are written at once
};
constexpr std::array recordings{Recording{"24 h at 5 min", base::Millis{300'000}, 288},
                                Recording{"1 h at 1 min", base::Millis{60'000}, 60},
                                // More steps in 30 minutes than trees learned from: a line is followed beside them.
                                Recording{"1 h at 10 s", base::Millis{10'000}, 360, 1, 5, 12},
                                Recording{"8 days at 5 min", base::Millis{300'000}, 2304, 2, 5, 12}};

/// Flat, a daily wave, a ramp, spikes, noise: a fifth of the VMs each, seeded.
class Fleet {
 public:
  Fleet(unsigned vms, unsigned resources) : m_vms(vms), m_resources(resources) {}

  void add_step(std::vector<ports::SampleRow>& rows, unsigned n, base::Instant at, double hours) {
    for (unsigned i = 0; i < m_vms; ++i) {
      ports::SampleRow& row = rows.emplace_back();
      row.uuid = uuid(i);
      row.vm = model::VmName(fmt::format("vm{:05}", i));
      row.host = model::HostName(fmt::format("host{}", i / 40));
      row.sample.at = at;
      const double load = shape(i, n, hours);
      row.sample[model::Resource::cpu] = std::clamp(load, 0.0, 1.0);
      if (m_resources == 1) continue;
      row.sample[model::Resource::memory] = std::clamp(0.3 + 0.5 * (i % 89) / 89.0 + 0.1 * load, 0.0, 1.0);
      if (m_resources == 2) continue;
      row.sample[model::Resource::net] = std::clamp(0.2 * load + 0.01 * uniform(), 0.0, 1.0);
      row.sample[model::Resource::disk] = std::clamp(0.3 * load * uniform(), 0.0, 1.0);
    }
  }
  std::vector<model::Counters> subjects(base::Instant at) const {
    std::vector<model::Counters> all(m_vms);
    for (unsigned i = 0; i < m_vms; ++i) {
      all[i].at = at;
      all[i].host = model::HostName(fmt::format("host{}", i / 40));
      all[i].vm = model::VmName(fmt::format("vm{:05}", i));
      all[i].uuid = uuid(i);
      all[i].incarnation = "recorded";
    }
    return all;
  }

 private:
  static model::Uuid uuid(unsigned i) {
    return model::Uuid(fmt::format("{:08x}-4f6a-4c1e-9d2b-{:012x}", i * 2654435761u, i));
  }
  double shape(unsigned vm, unsigned n, double hours) {
    const double level = 0.2 + 0.5 * (vm % 61) / 61.0;
    switch (vm % 5) {
      case 0:
        return level + 0.01 * uniform();
      case 1:
        return level + 0.3 * std::sin((hours + vm % 24) * M_PI / 12) + 0.03 * uniform();
      case 2:
        return level + 0.4 * (n % 288) / 288.0 + 0.02 * uniform();
      case 3:
        return m_random() % 40 == 0 ? 0.95 : 0.3 * level + 0.05 * uniform();
      default:
        return level + 0.4 * (uniform() - 0.5);
    }
  }
  double uniform() { return static_cast<double>(m_random()) / 4294967296.0; }
  unsigned m_vms;
  unsigned m_resources;
  std::mt19937 m_random{11};
};

/// The fleet's history as observe writes it; rows per second.
double fill(store::SqliteStore& store, unsigned vms, const Recording& recording, base::Instant end) {
  Fleet fleet(vms, recording.resources);
  std::vector<ports::SampleRow> rows;
  double seconds = 0;
  for (unsigned n = 0; n < recording.samples; ++n) {
    const base::Instant at = end - (recording.samples - 1 - n) * recording.step;
    const double hours = base::Seconds(n * recording.step).count() / 3600;
    fleet.add_step(rows, n, at, hours);
    if ((n + 1) % recording.together != 0) continue;
    const auto subjects = fleet.subjects(at);
    seconds += seconds_of([&] {
      store.history().append(rows);
      store.history().put_counters(subjects);
      store.history().tidy(at, {base::Seconds{90 * 86400.0}, model::ByteCount{2ull << 30}});
    });
    rows.clear();
  }
  return static_cast<double>(vms) * recording.samples / seconds;
}

/// One process from start to end.
struct Took {
  double wall = 0;
  double cpu = 0;
  double mib = 0;  ///< resident, at its highest
};

Took took(const std::vector<std::string>& words) {
  Took took;
  took.wall = seconds_of([&] {
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
      std::vector<char*> argv;
      for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
      argv.push_back(nullptr);
      ::execv(argv.front(), argv.data());
      ::_exit(127);
    }
    int status = 0;
    rusage use{};
    ::wait4(child, &status, 0, &use);
    if (status != 0) throw std::runtime_error(words.front() + " failed");
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
    };
    took.cpu = seconds(use.ru_utime) + seconds(use.ru_stime);
    took.mib = static_cast<double>(use.ru_maxrss) / 1024;
  });
  return took;
}

/// A trend of each series alone, by the interface of trees.
class Trend final : public predict::Forecaster {
 public:
  std::string name() const override { return "trend"; }
  void ask(const predict::View& view) override {
    std::vector<predict::Reading> readings;
    for (std::size_t i = 0; i < view.past.size(); ++i)
      readings.push_back({base::Instant(base::Millis(std::llround(view.past.time(i) * 1000))), view.past.value(i)});
    const auto f = predict::StatisticalForecaster().forecast(
        {readings, readings.back().at, base::Seconds(view.crossings.window_s()), view.crossings.threshold()});
    predict::Estimate estimate;
    if (f) estimate = {f->p_saturation, f->saturates_in_s.value_or(model::Quantiles{}), f->peak};
    m_answers.push_back(estimate);
  }
  std::vector<predict::Estimate> answers() override { return std::exchange(m_answers, {}); }

 private:
  std::vector<predict::Estimate> m_answers;
};

/// A peer's process: the first `most` series of the history, settled after each `batch` of VMs.
int forecast_as_peer(const std::string& who, const std::string& state, unsigned most) {
  std::unique_ptr<predict::Forecaster> forecaster = std::make_unique<Trend>();
  if (who != "trend") {
    forecaster = std::make_unique<predict::TreeForecaster>(
        std::make_shared<const predict::LoadedModel>(xgb::decode_model(xgb::default_model()), xgb::Grower()));
  }
  store::SqliteStore store{state};
  predict::Round round(*forecaster);
  const base::Instant now = base::system_clock().now();
  std::size_t forecasts = 0;
  unsigned vms = 0;
  for (const model::Counters& subject : store.history().last_counters()) {
    if (vms++ == most) break;
    const model::Series series = store.history().series(subject.uuid, now - std::chrono::hours(8 * 24));
    round.add(series, {}, {now, base::Seconds(1800)});
    if (who == "one-by-one") forecasts += round.finish().size();
  }
  forecasts += round.finish().size();
  return forecasts == std::min(vms, most) ? 0 : 1;
}

/// Medians over rounds.
Took middle(const std::vector<Took>& all) {
  const auto of = [&](double Took::*what) {
    std::vector<double> values;
    for (const Took& one : all) values.push_back(one.*what);
    return median(values);
  };
  return {of(&Took::wall), of(&Took::cpu), of(&Took::mib)};
}

/// True where the aim is met.
bool compare(const std::string& self, unsigned fleet, const Recording& recording) {
  const unsigned vms = fleet / recording.part;
  test::TempDir dir;
  const std::string state = dir / "state";
  const std::string config = dir / "umbra.toml";
  // VMs are then those of the history, and no host is asked.
  std::ofstream(config) << fmt::format("[metrics]\nsource = \"trace\"\ntrace = \"{}\"\n", (dir / "none.csv").string());
  store::SqliteStore store{state};
  const double written = fill(store, vms, recording, base::system_clock().now());

  const unsigned some = std::min(vms, asked_by_trend);
  const unsigned few = std::min(vms, asked_one_by_one);
  const std::array<std::vector<std::string>, 4> who{{
      {UMBRA_BIN, "predict", "--all", "--within", "30m", "-o", "jsonl", "--config", config, "--state", state},
      {self, "--peer", "trend", state, std::to_string(some)},
      {self, "--peer", "batched", state, std::to_string(few)},
      {self, "--peer", "one-by-one", state, std::to_string(few)},
  }};
  std::array<std::vector<Took>, who.size()> all;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t w = 0; w < who.size(); ++w) all[w].push_back(took(who[w]));
  }
  const Took own = middle(all[0]);
  const Took trend = middle(all[1]);
  const Took batched = middle(all[2]);
  const Took single = middle(all[3]);
  const double own_forecasts = 1.0 * recording.resources * vms;
  const double trend_forecasts = 1.0 * recording.resources * some;
  fmt::print("\n{}: {} VMs, resources {}, {} samples each; {:.0f} rows/s written\n", recording.name, vms,
             recording.resources, recording.samples, written);
  fmt::print("predict --all: {:.1f} s, of CPU time {:.1f} s or {:.2f} ms a VM, {:.0f} MiB at its highest\n\n", own.wall,
             own.cpu, 1e3 * own.cpu / vms, own.mib);
  fmt::print("{:<44}{:>14}{:>14} {:<10}{:>8}\n", "", "umbra", "trend alone", "", "ratio");
  tell("forecasts of a resource", "/s", own_forecasts / own.wall, trend_forecasts / trend.wall, true);
  tell("CPU time for a thousand", "s", 1e3 * own.cpu / own_forecasts, 1e3 * trend.cpu / trend_forecasts);
  fmt::print("{:<44}{:>14}{:>14}\n", "", "together", "one by one");
  tell(fmt::format("trees for {} VMs", few).c_str(), "s", batched.wall, single.wall);
  tell("its CPU time", "s", batched.cpu, single.cpu);
  const double seconds = most_seconds / recording.part;
  const bool met = own.wall < seconds && own.mib < most_mib;
  fmt::print("aim of {} s and {} MiB: {}\n", seconds, most_mib, met ? "met" : "MISSED");
  std::fflush(stdout);
  return met;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 4 && words[0] == "--peer")
    return forecast_as_peer(words[1], words[2], static_cast<unsigned>(std::stoul(words[3])));
  const unsigned vms = words.empty() ? 10000 : static_cast<unsigned>(std::stoul(words[0]));
  bool met = true;
  const std::string of = words.size() < 2 ? "" : words[1];
  for (const Recording& recording : recordings) {
    if (std::string_view(recording.name).find(of) != std::string_view::npos)
      met = compare(argv[0], vms, recording) && met;
  }
  return met ? 0 : 1;
}
