// SPDX-License-Identifier: Apache-2.0
#pragma once
// What must be taken back where a list of acts fails half-way.

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace umbra::shadow {

/// What was added, last first. Every step is tried; the first that can't be taken back is thrown at the end.
class Undo {
 public:
  Undo() = default;
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  void add(std::string what, std::function<void()> act) { m_acts.emplace_back(std::move(what), std::move(act)); }
  void clear() { m_acts.clear(); }
  void run() {
    std::optional<base::Error> first;
    for (; !m_acts.empty(); m_acts.pop_back()) {
      try {
        base::with_context(m_acts.back().first, m_acts.back().second);
      } catch (const base::Error& e) {
        if (!first) first = e;
      }
    }
    if (first) throw base::Error(*first);
  }

 private:
  std::vector<std::pair<std::string, std::function<void()>>> m_acts;
};

}  // namespace umbra::shadow
