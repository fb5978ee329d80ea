// SPDX-License-Identifier: Apache-2.0
#pragma once
// What must be taken back where a list of acts fails half-way.

#include <fmt/core.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.hpp"

namespace umbra::shadow {

/// Runs what was added, last first, unless keep() was called. A step that can't be taken back is told, never thrown.
class Undo {
 public:
  Undo() = default;
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  ~Undo() { run(); }

  void add(std::string what, std::function<void()> act) { m_acts.emplace_back(std::move(what), std::move(act)); }
  void keep() { m_acts.clear(); }

 private:
  void run() noexcept {
    for (; !m_acts.empty(); m_acts.pop_back()) {
      try {
        m_acts.back().second();
      } catch (const std::exception& e) {
        base::log(base::Level::error, fmt::format("could not take back: {}: {}", m_acts.back().first, e.what()));
      }
    }
  }
  std::vector<std::pair<std::string, std::function<void()>>> m_acts;
};

}  // namespace umbra::shadow
