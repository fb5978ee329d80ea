// SPDX-License-Identifier: Apache-2.0
#pragma once
// Series with known properties for the tests of forecasts.

#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "predict/statistical.hpp"

namespace umbra::predict::test {

inline const base::Instant origin = *base::parse_rfc3339("2026-11-24T10:00:00Z");

/// `count` readings, `step` apart, the last one at the origin. `shape` gets the seconds since the first.
inline std::vector<Reading> readings(std::size_t count, double step,
                                            const std::function<double(double)>& shape) {
  std::vector<Reading> all;
  for (std::size_t i = 0; i < count; ++i) {
    const double since_first = static_cast<double>(i) * step;
    const double before_origin = static_cast<double>(count - 1) * step - since_first;
    all.push_back({origin - base::Millis(static_cast<std::int64_t>(before_origin * 1000)), shape(since_first)});
  }
  return all;
}

/// Gaussian noise of deviation `sigma`, each value keeping `keep` of the one before.
class Noise {
 public:
  Noise(unsigned seed, double sigma, double keep = 0) : m_random(seed), m_sigma(sigma), m_keep(keep) {}
  double operator()() {
    m_value = m_keep * m_value + std::sqrt(1 - m_keep * m_keep) * m_gaussian(m_random);
    return m_sigma * m_value;
  }

 private:
  std::mt19937 m_random;
  std::normal_distribution<double> m_gaussian;
  double m_sigma;
  double m_keep;
  double m_value = 0;
};

}  // namespace umbra::predict::test
