// SPDX-License-Identifier: Apache-2.0
#pragma once
// Other processes for a test: each runs a function and ends without the parent's destructors.

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <fstream>
#include <functional>
#include <string>

namespace umbra::test {

/// A child that runs `act`; its exit status is 0, or 1 where `act` threw. A test that fails ends without reaping it, so
/// the child dies with the test.
inline pid_t start(const std::function<void()>& act) {
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before the line above
  try {
    act();
  } catch (const std::exception&) {
    ::_exit(1);
  }
  ::_exit(0);
}

/// The exit status, or 128+N for signal N.
inline int reap(pid_t pid) {
  int raw = 0;
  while (::waitpid(pid, &raw, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
}

/// Whether a process that is nobody's child here has ended.
inline bool is_gone(const std::string& pid) {
  std::ifstream stat("/proc/" + pid + "/stat");
  std::string number, name, state;
  return !(stat >> number >> name >> state) || state == "Z";
}

/// One process tells another, by one byte, that it got somewhere.
class Signpost {
 public:
  Signpost() {
    if (::pipe(m_ends) != 0) throw std::exception();
  }
  ~Signpost() {
    ::close(m_ends[0]);
    ::close(m_ends[1]);
  }
  void reached() {
    const char byte = 1;
    if (::write(m_ends[1], &byte, 1) != 1) throw std::exception();
  }
  void await() {
    char byte = 0;
    if (::read(m_ends[0], &byte, 1) != 1) throw std::exception();
  }

 private:
  int m_ends[2];
};

}  // namespace umbra::test
