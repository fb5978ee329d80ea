// SPDX-License-Identifier: Apache-2.0
#pragma once
// Progress of long work: a line on a terminal, JSON lines on a descriptor that a program asked for, else nothing.

#include <cstdint>
#include <mutex>
#include <string>

#include "base/clock.hpp"

namespace umbra::cmd {

class Progress {
 public:
  /// `fd` < 0: none asked for; `quiet` silences the terminal too.
  Progress(int fd, bool quiet, base::Clock& clock);
  /// `done` of `total` bytes (0: unknown) of `what` ("web1: replicate"). At most ten a second get through; the last
  /// always.
  void update(const std::string& what, std::uint64_t done, std::uint64_t total);
  /// Ends the line of `what`.
  void finish(const std::string& what);

 private:
  void draw(const std::string& what, std::uint64_t done, std::uint64_t total);
  void to_terminal(const std::string& text);
  base::Clock& m_clock;
  int m_fd;
  bool m_terminal;
  base::Millis m_started{0};
  base::Millis m_last{-1000};
  std::string m_current;
  std::mutex m_mutex;
};

}  // namespace umbra::cmd
