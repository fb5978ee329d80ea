// SPDX-License-Identifier: Apache-2.0
#pragma once
// Progress of long work: a line on a terminal, JSON lines on a descriptor that a program asked for, else nothing.

#include <cstdint>
#include <mutex>
#include <string>

#include "base/clock.hpp"

namespace umbra::cmd {

/// How far something has come, in bytes.
struct Step {
  std::uint64_t done = 0;
  std::uint64_t total = 0;  ///< 0: unknown
  std::uint64_t told = 0;   ///< of `done`, what had to be sent
  std::uint64_t sent = 0;   ///< for it, compressed; 0 where nothing is
};

class Progress {
 public:
  /// `fd` < 0: none asked for; `quiet` silences the terminal too.
  Progress(int fd, bool quiet, base::Clock& clock);
  /// `what` is "web1: vda". At most ten a second get through; the last always.
  void update(const std::string& what, const Step& step);
  /// Ends the line of `what`.
  void finish(const std::string& what);

 private:
  void draw(const std::string& what, const Step& step);
  void to_descriptor(const std::string& line);
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
