// SPDX-License-Identifier: Apache-2.0
#include "predict/backtest.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "predict/walk.hpp"

namespace umbra::predict {
namespace {

constexpr std::size_t questions_at_once = 4096;

/// Level and trend, smoothed reading by reading.
class Holt {
 public:
  void take(double time, double value) {
    constexpr double of_level = 0.5;
    constexpr double of_trend = 0.1;
    if (m_readings++ == 0) {
      m_level = value;
    } else {
      const double elapsed = time - m_time;
      const double expected = m_level + m_trend * elapsed;
      const double before = m_level;
      m_level = expected + of_level * (value - expected);
      m_trend += of_trend * ((m_level - before) / elapsed - m_trend);
    }
    m_time = time;
  }
  double ahead(double seconds) const { return m_level + m_trend * seconds; }

 private:
  std::size_t m_readings = 0;
  double m_time = 0;
  double m_level = 0;
  double m_trend = 0;
};

/// One VM's walk: puts questions, and takes the answers in the same order.
class VmWalk {
 public:
  VmWalk(const model::Series& series, std::size_t vm, const BacktestPlan& plan, Forecaster& forecaster,
         const std::function<void(const TraceForecast&)>& each, Backtest& result)
      : m_series(series),
        m_vm(vm),
        m_plan(plan),
        m_forecaster(forecaster),
        m_each(each),
        m_result(result),
        m_whole(past_of(series, plan.resource)) {}

  void run() {
    Walk walk(m_series, m_plan.resource, m_plan.ask);
    Holt holt;
    double newest = -std::numeric_limits<double>::infinity();
    while (walk.next()) {
      holt.take(walk.time(), walk.value());
      if (!walk.is_origin() || walk.time() - newest < m_plan.apart_s) continue;
      newest = walk.time();
      m_forecaster.ask(walk.view());
      m_open.push_back({walk.reading(), seasonal(walk), holt.ahead(m_plan.ask.window_s)});
      if (m_open.size() == questions_at_once) settle();
    }
    settle();
  }

 private:
  struct Open {
    std::size_t reading;
    double seasonal;
    double holt;
  };

  double seasonal(const Walk& walk) const {
    const double then = walk.time() - day;
    const double highest = m_whole.highest(m_whole.between(then, then + std::min(day, m_plan.ask.window_s)));
    return std::isnan(highest) ? walk.value() : highest;
  }

  void settle() {
    const std::vector<Estimate> estimates = m_forecaster.answers();
    for (std::size_t i = 0; i < m_open.size(); ++i) take(m_open[i], estimates[i]);
    m_open.clear();
  }

  void take(const Open& open, const Estimate& estimate) {
    const double time = m_whole.time(open.reading);
    ++m_result.origins;
    m_each({m_series.vm, time, estimate});
    const auto outcome = outcome_of(m_whole, open.reading, m_plan.ask);
    if (!outcome) return;
    const double now = m_whole.value(open.reading);
    m_result.verified.push_back({m_vm, time, now, estimate.p_saturation, estimate.peak, *outcome, estimate.first_s});
    m_result.figures.persistence.push_back(now);
    m_result.figures.seasonal.push_back(open.seasonal);
    m_result.figures.holt.push_back(open.holt);
  }

  const model::Series& m_series;
  std::size_t m_vm;
  const BacktestPlan& m_plan;
  Forecaster& m_forecaster;
  const std::function<void(const TraceForecast&)>& m_each;
  Backtest& m_result;
  Past m_whole;
  std::vector<Open> m_open;
};

}  // namespace

Backtest backtest(std::span<const model::Series> series, const BacktestPlan& plan, Forecaster& forecaster,
                  const std::function<void(const TraceForecast&)>& each) {
  Backtest result;
  for (std::size_t vm = 0; vm < series.size(); ++vm) {
    VmWalk(series[vm], vm, plan, forecaster, each, result).run();
  }
  return result;
}

}  // namespace umbra::predict
