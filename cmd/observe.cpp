// SPDX-License-Identifier: Apache-2.0
// umbra observe: counters of every host, made into samples and kept in the history.
#include <fmt/core.h>

#include <future>

#include "base/log.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/recording.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"
#include "predict/usage.hpp"

namespace umbra::cmd {
namespace {

struct ObserveOptions {
  std::optional<base::Seconds> interval;
  std::optional<base::Seconds> duration;
  std::optional<base::Seconds> since;
};

/// The key under which counters and samples of a VM, or of a host itself, are kept.
model::Uuid key_of(const model::Counters& c) {
  return c.uuid.get().empty() ? model::Uuid("host:" + c.host.get()) : c.uuid;
}

/// All hosts at the same time; a host that fails is reported and left out.
std::vector<model::Counters> sample(std::vector<std::unique_ptr<ports::MetricSource>>& sources,
                                    std::vector<base::Error>& errors) {
  std::vector<std::future<std::vector<model::Counters>>> running;
  for (auto& source : sources)
    running.push_back(std::async(std::launch::async, [&source] { return source->counters(); }));
  std::vector<model::Counters> all;
  for (auto& one : running) {
    try {
      const std::vector<model::Counters> counters = one.get();
      all.insert(all.end(), counters.begin(), counters.end());
    } catch (const base::Error& error) {
      errors.push_back(error);
    }
  }
  return all;
}

/// Looks at hosts that tell counters as they stand.
class Observer {
 public:
  explicit Observer(Session& session) : m_session(session), m_sources(session.metric_sources()) {
    for (model::Counters& c : session.history().last_counters()) m_before[key_of(c)] = std::move(c);
  }

  /// One look at every host; the samples that came of it.
  std::vector<ports::SampleRow> look() {
    m_errors.clear();
    std::vector<model::Counters> now = sample(m_sources, m_errors);
    try {
      m_session.add_gpus(now);
    } catch (const base::Error& error) {
      m_errors.push_back(error);
    }
    std::vector<ports::SampleRow> rows;
    for (const model::Counters& c : now) {
      const model::Uuid key = key_of(c);
      const auto before = m_before.find(key);
      const auto known = before == m_before.end() ? std::nullopt : std::optional(before->second);
      const auto used = predict::usage(known, c, m_session.config().metrics.capacities);
      if (const auto change = predict::resized(known, c); change && !c.vm.get().empty()) {
        base::log(base::Level::warning,
                  fmt::format("{}: {}; what is forecast of its CPU is unsure for some hours", c.vm.get(), *change));
      }
      if (used) rows.push_back({key, c.vm, c.host, *used});
      m_before[key] = c;
    }
    if (!m_session.common().dry_run) {
      m_session.history().append(rows);
      m_session.history().put_counters(now);
    }
    m_samples += rows.size();
    return rows;
  }

  const std::vector<base::Error>& errors() const { return m_errors; }  ///< of the last look
  std::uint64_t samples() const { return m_samples; }                  ///< of all looks

 private:
  Session& m_session;
  std::vector<base::Error> m_errors;
  std::uint64_t m_samples = 0;
  std::vector<std::unique_ptr<ports::MetricSource>> m_sources;
  std::map<model::Uuid, model::Counters> m_before;
};

model::Json sample_json(const model::Sample& sample) {
  model::Json json = {{"at", base::to_rfc3339(sample.at)}};
  for (const model::Resource r : model::all_resources) {
    if (sample[r]) json[std::string(model::to_string(r))] = *sample[r];
  }
  return json;
}

Cell used(const std::optional<double>& value) {
  if (!value) return "-";
  return Cell(percent(*value), *value >= 0.9 ? Tone::bad : *value >= 0.7 ? Tone::warn : Tone::plain);
}

void show(Session& session, const std::vector<ports::SampleRow>& rows) {
  Listing listing(session.out(), {"VM", "HOST", "CPU", "MEMORY", "GPU", "NET", "DISK", "AT"});
  for (const ports::SampleRow& row : rows) {
    const bool is_host = row.vm.get().empty();
    if (is_host && session.out().json()) continue;  // a record is a VM's
    model::Record record(model::Vm{row.vm, row.uuid, row.host, session.config().policy(row.vm).priority});
    record.set_extra("sample", sample_json(row.sample));
    listing.add(record.json(), {is_host ? "(host)" : row.vm.get(), row.host.get(),
                                used(row.sample[model::Resource::cpu]), used(row.sample[model::Resource::memory]),
                                used(row.sample[model::Resource::gpu]), used(row.sample[model::Resource::net]),
                                used(row.sample[model::Resource::disk]), base::to_rfc3339(row.sample.at)});
  }
  if (!listing.empty()) listing.finish();
}

/// A run without an end must not let the history grow past its bounds.
constexpr base::Millis forget_every{10 * 60'000};

/// Looks once, or again and again; what the last look saw.
template <class Look>
std::vector<ports::SampleRow> look_on(Session& session, const ObserveOptions& options, Look look) {
  base::Clock& clock = session.clock();
  const base::Millis start = clock.steady();
  base::Millis forgotten{-forget_every};
  for (unsigned round = 1;; ++round) {
    if (!session.common().dry_run && clock.steady() - forgotten >= forget_every) {
      const ports::Retention retention{session.config().metrics.keep, session.config().metrics.max_size};
      session.history().tidy(clock.now(), retention);
      session.ledger().tidy(clock.now(), retention);
      forgotten = clock.steady();
    }
    std::vector<ports::SampleRow> rows = look();
    if (!options.interval) return rows;
    const base::Seconds next = *options.interval * round;
    if (options.duration && next > *options.duration) return rows;
    // Rounds follow a fixed grid, so that a slow host does not stretch the step.
    const base::Millis due = start + std::chrono::ceil<base::Millis>(next);
    base::wait_until(clock, due - clock.steady(), base::Millis{100}, [&] { return session.cancel().requested(); });
    session.cancel().check();
  }
}

void tell(Session& session, std::uint64_t samples) {
  base::log(base::Level::info,
            fmt::format("observe: {} samples {}", samples, session.common().dry_run ? "seen, none kept" : "kept"));
}

int observe_hosts(Session& session, const ObserveOptions& options) {
  Observer observer(session);
  const std::vector<ports::SampleRow> rows = look_on(session, options, [&] {
    std::vector<ports::SampleRow> seen = observer.look();
    for (const base::Error& error : observer.errors()) print_error(error, "observe", "");
    return seen;
  });
  show(session, rows);
  tell(session, observer.samples());
  std::vector<base::Kind> failures;
  for (const base::Error& error : observer.errors()) failures.push_back(error.kind());
  return status_of(failures, rows.size());
}

int take_recorded(Session& session, std::unique_ptr<ports::RecordedSource> source, const ObserveOptions& options) {
  if (options.since && *options.since > session.config().metrics.keep) {
    throw base::Error(base::Kind::usage,
                      fmt::format("--since {} reaches beyond the {} that are kept", base::to_human(*options.since),
                                  base::to_human(session.config().metrics.keep)),
                      "give less, or set [metrics] keep higher");
  }
  Recording recording(session, std::move(source), options.since);
  show(session, look_on(session, options, [&] { return recording.look(); }));
  tell(session, recording.samples());
  return exit_done;
}

int run_observe(Session& session, const ObserveOptions& options) {
  if (options.duration && !options.interval)
    throw base::Error(base::Kind::usage, "--for needs --interval", "add --interval 5s");
  if (options.interval && *options.interval < base::Seconds{0.1})
    throw base::Error(base::Kind::usage, "--interval must be at least 100ms");
  if (auto recorded = session.recorded_source()) return take_recorded(session, std::move(recorded), options);
  if (options.since)
    throw base::Error(base::Kind::usage, "--since needs a source with a past, and libvirt has none",
                      "set [metrics] source to prometheus or trace, or leave --since out");
  return observe_hosts(session, options);
}

}  // namespace

Verb observe_verb() {
  auto options = std::make_shared<ObserveOptions>();
  Verb verb;
  verb.name = "observe";
  verb.summary = "Sample the use of every VM and host into the history";
  verb.text =
      "One bulk call per host reads CPU, memory, network and disk of every running domain and of the host itself; "
      "hosts are asked at the same time. Rates need two looks: the first after a start of a VM gives memory alone. "
      "Where the driver of NVIDIA's GPUs is on this machine, they are read too. Of a source that has a past "
      "(Prometheus, trace files) everything is taken that is newer than the history, of an empty history's first day. "
      "Without --interval one look is made, for cron and timers. The history holds each sample for a day, then one for "
      "5 minutes (mean and maximum) for two weeks, then one an hour as far back as [metrics] keep says.";
  verb.operands = Operands::none;
  verb.changes = true;
  verb.options = {
      {"--interval", "DURATION", "look again after this long, until --for or a signal ends it", "",
       set_duration("--interval", options->interval)},
      {"--for", "DURATION", "with --interval: how long", "", set_duration("--for", options->duration)},
      {"--since", "DURATION", "of a source with a past: take this much of it, held already or not",
       "what is newer than the history", set_duration("--since", options->since)},
  };
  verb.examples = {"umbra observe", "umbra observe --interval 1s --for 60s", "umbra observe --since 7d"};
  verb.run = [options](Session& session) { return run_observe(session, *options); };
  return verb;
}

}  // namespace umbra::cmd
