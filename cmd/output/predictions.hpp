// SPDX-License-Identifier: Apache-2.0
#pragma once
// A back-test's forecasts as a file of JSON lines, one each, for whoever wants to score them.

#include <string>

#include "base/fd.hpp"
#include "predict/backtest.hpp"

namespace umbra::cmd {

/// Written beside its name and renamed over it by commit(); without that nothing of it is kept under the name.
class PredictionsFile {
 public:
  explicit PredictionsFile(const std::string& path);
  void add(const predict::BacktestPlan& plan, const predict::TraceForecast& forecast);
  void commit();

 private:
  void flush();
  base::OutputTarget m_target;
  std::string m_unfinished;
  base::UniqueFd m_fd;
  std::string m_lines;
};

/// A walk takes minutes: where what it gives has nowhere to go, that is said before it. Kind::usage.
void check_output(const char* option, const std::string& file);

}  // namespace umbra::cmd
