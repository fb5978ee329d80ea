// SPDX-License-Identifier: Apache-2.0
#pragma once
// A command of somebody else's, run so that nothing it does can hold this process: it may hang, leave children behind
// that keep its output open, or say megabytes. Inside this folder only.

#include <string>
#include <string_view>

#include "base/process.hpp"
#include "ports/switching.hpp"

namespace umbra::traffic {

struct Ended {
  int status = 0;  ///< exit status, 128+N for signal N
  bool timed_out = false;
  std::string out;  ///< the newest part of what it said: standard output
  std::string err;  ///< and standard error
};

/// Runs argv[0], found by PATH, to its end, with `input` on its standard input. It is over when it has ended, whoever
/// keeps its output open; at the deadline it is killed with all that it started; it is killed when
/// this process ends. Throws where it can't be started.
Ended run(const base::Argv& argv, std::string_view input, base::Millis deadline);

/// The same, told as a result: exit status 0 is success, its last line the message.
ports::HookResult call(const base::Argv& argv, std::string_view input, base::Millis deadline);

/// Kind::not_found or usage, with a hint, where argv[0] can't be run; its path.
std::string require_runnable(const base::Argv& argv);

}  // namespace umbra::traffic
