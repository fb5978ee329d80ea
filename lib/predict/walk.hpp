// SPDX-License-Identifier: Apache-2.0
#pragma once
// One VM's series, walked through forward: at each origin what was known then, and nothing later.

#include <optional>

#include "model/metrics.hpp"
#include "predict/features.hpp"
#include "predict/outcome.hpp"

namespace umbra::predict {

/// Readings of that resource, one for each sample that has one; samples rise in time.
Past past_of(const model::Series& series, model::Resource resource);

/// Appends the sample's reading of that resource, where it has one.
void append_sample(Past& past, const model::Sample& sample, model::Resource resource);

class Walk {
 public:
  /// `series` must outlive the walk.
  Walk(const model::Series& series, model::Resource resource, const Ask& ask);

  /// On to the next reading; false at the end.
  bool next();
  bool is_origin() const { return m_past.unbroken() > model::least_history; }
  std::size_t reading() const { return m_past.size() - 1; }  ///< as index into past_of()
  double time() const { return m_past.time(reading()); }
  double value() const { return m_past.value(reading()); }
  View view() const { return {m_past, m_crossings, m_companion.empty() ? nullptr : &m_companion, m_resource}; }

 private:
  const model::Series& m_series;
  model::Resource m_resource;
  std::size_t m_sample = 0;
  Past m_past;
  Past m_companion;
  Crossings m_crossings;
};

double unix_seconds(base::Instant instant);
base::Instant instant_of(double unix_s);

}  // namespace umbra::predict
