// SPDX-License-Identifier: Apache-2.0
#pragma once
// Processes in which some system calls fail, as they do on other kernels and file systems.

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <functional>
#include <iostream>
#include <iterator>
#include <optional>

#include "base/error.hpp"

namespace umbra::test {

/// Runs `act` in a process of its own; its result is the exit status, 99 where it throws.
inline pid_t in_a_process(const std::function<int()>& act) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  int status = 99;
  try {
    status = act();
  } catch (const std::exception& e) {
    std::cerr << e.what() << std::endl;
  }
  ::_exit(status);
}

inline int status_of(pid_t pid) {
  int raw = 0;
  ::waitpid(pid, &raw, 0);
  return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
}

inline int status_in_a_process(const std::function<int()>& act) {
  return status_of(in_a_process(act));
}

/// From now on this is what becomes of this system call of this process and its children; where it is given, with this
/// first argument alone.
inline void filter_calls(int call, unsigned result, std::optional<unsigned> first = std::nullopt) {
  sock_filter program[]{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
      BPF_JUMP(BPF_JMP | (first ? BPF_JEQ : BPF_JGE) | BPF_K, first.value_or(0), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, result),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    throw base::from_errno(errno, "filter system calls");
}

/// It fails with `error`.
inline void do_without(int call, int error, std::optional<unsigned> first = std::nullopt) {
  filter_calls(call, SECCOMP_RET_ERRNO | (static_cast<unsigned>(error) & SECCOMP_RET_DATA), first);
}

/// Whoever makes it is killed before.
inline void die_at(int call) {
  filter_calls(call, SECCOMP_RET_KILL_PROCESS);
}

}  // namespace umbra::test
