// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/progress.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/log.hpp"
#include "cmd/output/table.hpp"

namespace umbra::cmd {

Progress::Progress(int fd, bool quiet, base::Clock& clock)
    : m_clock(clock), m_fd(fd), m_terminal(!quiet && fd < 0 && ::isatty(STDERR_FILENO) == 1) {}

void Progress::update(const std::string& what, const Step& step) {
  if (m_fd < 0 && !m_terminal) return;
  const std::scoped_lock lock(m_mutex);
  const base::Millis now = m_clock.steady();
  if (what != m_current) {
    m_current = what;
    m_started = now;
  } else if (now - m_last < base::Millis{100} && (step.total == 0 || step.done < step.total)) {
    return;
  }
  m_last = now;
  draw(what, step);
}

void Progress::draw(const std::string& what, const Step& step) {
  const double elapsed = std::max(0.001, base::Seconds(m_clock.steady() - m_started).count());
  const double rate = static_cast<double>(step.done) / elapsed;
  std::optional<double> left_s;
  if (rate > 0 && step.total > step.done) left_s = static_cast<double>(step.total - step.done) / rate;
  std::optional<double> ratio;
  if (step.sent > 0) ratio = static_cast<double>(step.told) / static_cast<double>(step.sent);
  if (m_fd >= 0) {
    nlohmann::ordered_json line = {{"what", what},           {"done_bytes", step.done}, {"total_bytes", step.total},
                                   {"bytes_per_s", rate},    {"elapsed_s", elapsed},    {"told_bytes", step.told},
                                   {"sent_bytes", step.sent}};
    if (left_s) line["remaining_s"] = *left_s;
    if (ratio) line["ratio"] = *ratio;
    to_descriptor(line.dump() + "\n");
    return;
  }
  const double part =
      step.total == 0 ? 0 : std::min(1.0, static_cast<double>(step.done) / static_cast<double>(step.total));
  const int filled = static_cast<int>(part * 20);
  const std::string left = left_s ? base::to_human(base::Seconds(*left_s)) : "";
  const std::string packed = ratio ? fmt::format(", sent {} (1:{:.1f})", human_bytes(step.sent), *ratio) : "";
  to_terminal(fmt::format("\r\033[K{} [{:=<{}}{: <{}}] {} of {}, {}/s{} {}", what, "", filled, "", 20 - filled,
                          human_bytes(step.done), human_bytes(step.total),
                          human_bytes(static_cast<unsigned long long>(rate)), packed, left));
}

void Progress::to_descriptor(const std::string& line) {
  try {
    base::write_all(m_fd, line, "the progress descriptor");
  } catch (const base::Error& error) {
    base::log(base::Level::warning, fmt::format("nobody reads the progress any more: {}", error.what()));
    m_fd = -1;
  }
}

/// A terminal that is gone ends no work.
void Progress::to_terminal(const std::string& text) {
  try {
    base::write_all(STDERR_FILENO, text, "standard error");
  } catch (const base::Error&) {
    m_terminal = false;
  }
}

void Progress::finish(const std::string& what) {
  const std::scoped_lock lock(m_mutex);
  if (m_terminal && m_current == what) to_terminal("\r\033[K");
  m_current.clear();
}

}  // namespace umbra::cmd
