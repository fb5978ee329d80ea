// SPDX-License-Identifier: Apache-2.0
#include "predict/walk.hpp"

namespace umbra::predict {

void append_sample(Past& past, const model::Sample& sample, model::Resource resource) {
  const auto& value = sample[resource];
  if (value) past.append(unix_seconds(sample.at), *value, sample.peak(resource).value_or(*value));
}

double unix_seconds(base::Instant instant) {
  return base::Seconds(instant.time_since_epoch()).count();
}

base::Instant instant_of(double unix_s) {
  return base::Instant(std::chrono::round<base::Millis>(base::Seconds(unix_s)));
}

Past past_of(const model::Series& series, model::Resource resource) {
  Past past;
  for (const model::Sample& sample : series.samples) append_sample(past, sample, resource);
  return past;
}

Walk::Walk(const model::Series& series, model::Resource resource, const Ask& ask)
    : m_series(series), m_resource(resource), m_crossings(ask.threshold, ask.window_s) {}

bool Walk::next() {
  const model::Resource companion = companion_of(m_resource);
  while (m_sample < m_series.samples.size()) {
    const model::Sample& sample = m_series.samples[m_sample++];
    append_sample(m_companion, sample, companion);
    if (!sample[m_resource]) continue;
    append_sample(m_past, sample, m_resource);
    m_crossings.follow(m_past);
    return true;
  }
  return false;
}

}  // namespace umbra::predict
