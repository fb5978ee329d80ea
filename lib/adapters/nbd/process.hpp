// SPDX-License-Identifier: Apache-2.0
#pragma once
// Children that need more than base::spawn gives: an inherited listening socket, a standard error kept for messages.

#include <sys/types.h>
#include <cstdio>
#include <functional>
#include <string>

#include "base/process.hpp"

namespace umbra::nbd {

/// Descriptors for the child; -1 gives /dev/null (in) or this process's standard error (out, err).
struct ChildFds {
  int in = -1;
  int out = -1;
  int err = -1;
  /// Handed over as systemd's socket activation does: descriptor 3, LISTEN_PID, LISTEN_FDS. Such a child is asked to end
  /// (SIGTERM) when the thread that started it does: nobody else can reach it.
  int listener = -1;
};

/// A running child; the destructor asks it to end (SIGTERM), then makes it (SIGKILL), and reaps it.
class Process {
 public:
  Process() = default;
  Process(const base::Argv& argv, const ChildFds& fds);
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  pid_t pid() const { return m_pid; }
  /// The exit status (128+N for signal N); -1 where it still runs after `deadline`.
  int wait_for(base::Millis deadline);

 private:
  int wait();
  pid_t m_pid = -1;
  int m_status = -1;
};

/// An unnamed file in memory that collects what a child says.
base::UniqueFd make_capture();
/// What was collected: at most the first `limit` bytes.
std::string captured(const base::UniqueFd& capture, std::size_t limit);

struct ToolResult {
  int status = 0;
  std::string out;
  std::string err;
};
/// Runs a command and lets `read` have what it says while it says it; the exit status. What `read` leaves unread is not
/// waited for: the status is then that of a command that was ended.
int read_tool(const base::Argv& argv, const std::function<void(std::FILE* told)>& read);
/// Runs a command to its end, with standard input empty and both outputs kept (at most 64 MiB and 64 KiB).
ToolResult run_tool(const base::Argv& argv);

}  // namespace umbra::nbd
