// SPDX-License-Identifier: Apache-2.0
#pragma once
// Child processes by argument vector, never through a shell.

#include <sys/types.h>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"

namespace umbra::base {

using Argv = std::vector<std::string>;

/// A running child. Its destructor kills and reaps it; wait() is the orderly end.
class Child {
 public:
  Child() = default;
  Child(Child&&) noexcept;
  Child& operator=(Child&&) noexcept;
  ~Child();
  pid_t pid() const { return m_pid; }
  /// Waits for the end; the exit status, or 128+N for signal N.
  int wait();
  /// The exit status where the child has ended within `deadline`; -1 where it still runs.
  int wait_for(Millis deadline);
  void kill(int signal_number);
  /// SIGKILL to it and to what it started, but for what left its process group.
  void kill_all();

  UniqueFd to_child;    ///< its standard input, where asked for
  UniqueFd from_child;  ///< its standard output, where asked for

 private:
  friend Child spawn(const Argv&, bool, bool);
  pid_t m_pid = -1;
};

/// The exit status in what waitpid gave; 128+N for signal N.
int exit_status(int raw);

/// Its end to read from, and that to write to; neither is inherited by what is started.
std::pair<UniqueFd, UniqueFd> make_pipe();

/// Starts argv[0] found by PATH, in a session of its own: the terminal's signals do not reach it, and it has no
/// terminal to ask for a password. Standard error is inherited. Throws where it can't be started. Without a pipe,
/// standard input is /dev/null and standard output goes to standard error.
Child spawn(const Argv& argv, bool pipe_in, bool pipe_out);

struct Finished {
  int status = 0;  ///< exit status, 128+N for signal N
  std::string out;
  bool timed_out = false;
};

/// Runs a command to its end with `input` on its standard input; its output is returned (at most 1 MiB).
Finished run(const Argv& argv, std::string_view input, Millis deadline);

/// The words as a shell would need them typed, for messages.
std::string to_shell(const Argv& argv);

}  // namespace umbra::base
