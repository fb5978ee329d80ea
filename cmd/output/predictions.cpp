// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/predictions.hpp"

#include <fcntl.h>
#include <fmt/core.h>

#include <cmath>
#include <filesystem>

#include "model/record.hpp"

namespace umbra::cmd {
namespace {

constexpr std::size_t most_unwritten = 1 << 20;

}  // namespace

PredictionsFile::PredictionsFile(const std::string& path)
    : m_target(base::output_target(path)),
      m_unfinished(m_target.path.string() + (m_target.in_place ? "" : ".part")),
      m_fd(base::open_file(m_unfinished, m_target.in_place ? O_WRONLY : O_WRONLY | O_CREAT | O_TRUNC)) {}

void PredictionsFile::add(const predict::BacktestPlan& plan, const predict::TraceForecast& f) {
  const predict::Estimate& e = f.estimate;
  const model::Json line = {
      {"vm", f.vm.get()},
      {"time", f.time == std::floor(f.time) ? model::Json(static_cast<std::int64_t>(f.time)) : model::Json(f.time)},
      {"resource", model::to_string(plan.resource)},
      {"within_s", plan.ask.window_s},
      {"threshold", plan.ask.threshold},
      {"p_saturation", e.p_saturation},
      {"peak", {{"p10", e.peak.p10}, {"p50", e.peak.p50}, {"p90", e.peak.p90}}},
      {"saturates_in_s", {{"p10", e.first_s.p10}, {"p50", e.first_s.p50}, {"p90", e.first_s.p90}}}};
  m_lines += line.dump() + "\n";
  if (m_lines.size() >= most_unwritten) flush();
}

void PredictionsFile::flush() {
  base::write_all(m_fd.get(), m_lines, m_unfinished);
  m_lines.clear();
}

void PredictionsFile::commit() {
  flush();
  if (m_target.in_place) return;
  base::sync_fd(m_fd.get(), m_unfinished);
  std::filesystem::rename(m_unfinished, m_target.path);
}

void check_output(const char* option, const std::string& file) {
  if (!file.empty()) base::with_context(option, [&] { return base::output_target(file); });
}

}  // namespace umbra::cmd
