// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"

#include <fmt/core.h>

#include <atomic>
#include <cstdio>
#include <string>

namespace umbra::base {
namespace {

std::atomic<Level>& threshold() {
  static std::atomic<Level> level{Level::info};
  return level;
}

std::string_view prefix(Level level) {
  switch (level) {
    case Level::error:
      return "error: ";
    case Level::warning:
      return "warning: ";
    case Level::info:
      return "";
    case Level::debug:
      return "debug: ";
  }
  return "";
}

}  // namespace

void set_log_level(Level most) {
  threshold() = most;
}

void log(Level level, std::string_view message) {
  if (level > threshold().load()) return;
  // One write per line keeps the lines of several threads apart.
  const std::string line = fmt::format("umbra: {}{}\n", prefix(level), message);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace umbra::base
