// SPDX-License-Identifier: Apache-2.0
// The load that a lab guest puts on its host: pages dirtied at a set rate, processors busy for a set share of the time.
#pragma once

#include "net.hpp"

#include <atomic>
#include <cstdint>
#include <mutex>

class Dirtier {
 public:
  Dirtier();  // starts its thread
  void set(double mib_per_s, std::uint64_t set_mib);
  double wanted() const { return m_wanted; }
  double measured() const { return m_measured; }
  std::uint64_t set_mib() const { return m_set_mib; }

 private:
  void run();
  std::atomic<double> m_wanted{0}, m_measured{0};
  std::atomic<std::uint64_t> m_set_mib{0};
};

class CpuLoad {
 public:
  CpuLoad();                  // starts one thread per processor
  void hold(double duty);     // 0..1
  void ramp(double minutes);  // from 0.1 to 1, then stays there
  double duty() const;

 private:
  void run() const;
  mutable std::mutex m_mutex;
  double m_duty = 0, m_ramp_s = 0;
  Clock::time_point m_ramp_start;
};
