// SPDX-License-Identifier: Apache-2.0
#include "cmd/recording.hpp"

#include <algorithm>

namespace umbra::cmd {
namespace {

constexpr base::Seconds usual_past{86400};

/// What the history's list of subjects says of a recorded one: who it is, and up to when it is known.
model::Counters known_until(const model::Series& series) {
  model::Counters counters;
  counters.at = series.samples.back().at;
  counters.host = series.host;
  counters.vm = series.vm;
  if (!series.vm.get().empty()) counters.uuid = series.uuid;
  counters.incarnation = "recorded";
  counters.cpus = 0;
  return counters;
}

}  // namespace

Recording::Recording(Session& session, std::unique_ptr<ports::RecordedSource> source,
                     std::optional<base::Seconds> since)
    : m_session(session), m_source(std::move(source)), m_since(since) {
  if (since) return;
  const base::Instant now = session.clock().now();
  // What a clock that ran ahead has left would hide all that is recorded until then.
  for (const model::Counters& c : session.history().last_counters()) {
    if (c.at > now) continue;
    m_held[c.uuid.get().empty() ? model::Uuid("host:" + c.host.get()) : c.uuid] = c.at;
  }
}

std::vector<ports::SampleRow> Recording::look() {
  m_newest.clear();
  const model::MetricsConfig& metrics = m_session.config().metrics;
  const base::Instant now = m_session.clock().now();
  const bool holds_any = !m_held.empty() || metrics.source == "trace";
  const base::Seconds reach = m_since.value_or(holds_any ? metrics.keep : std::min(usual_past, metrics.keep));
  m_source->range({now - std::chrono::floor<base::Millis>(reach), now, metrics.step, m_held},
                  [&](const std::vector<model::Series>& piece) {
                    m_session.cancel().check();
                    keep(piece);
                  });
  for (const auto& [uuid, row] : m_newest) m_held[uuid] = row.sample.at;
  std::vector<ports::SampleRow> rows;
  for (const auto& [uuid, row] : m_newest) rows.push_back(row);
  return rows;
}

void Recording::keep(const std::vector<model::Series>& piece) {
  std::vector<ports::SampleRow> rows;
  std::vector<model::Counters> subjects;
  for (const model::Series& series : piece) {
    for (const model::Sample& sample : series.samples) rows.push_back({series.uuid, series.vm, series.host, sample});
    const auto [newest, fresh] = m_newest.try_emplace(series.uuid, rows.back());
    if (!fresh && newest->second.sample.at < rows.back().sample.at) newest->second = rows.back();
    const auto held = m_held.find(series.uuid);
    const bool is_newest = newest->second.sample.at == series.samples.back().at &&
                           (held == m_held.end() || held->second < series.samples.back().at);
    if (is_newest) subjects.push_back(known_until(series));
  }
  m_samples += rows.size();
  if (m_session.common().dry_run) return;
  // First the samples: a run that ends in between takes them once more, and none is missed.
  m_session.history().append(rows);
  m_session.history().put_counters(subjects);
}

}  // namespace umbra::cmd
