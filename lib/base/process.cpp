// SPDX-License-Identifier: Apache-2.0
#include "base/process.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"

extern char** environ;

namespace umbra::base {
namespace {

struct SpawnActions {
  posix_spawn_file_actions_t actions{};
  SpawnActions() { posix_spawn_file_actions_init(&actions); }
  ~SpawnActions() { posix_spawn_file_actions_destroy(&actions); }
};

struct SpawnAttributes {
  posix_spawnattr_t attributes{};
  SpawnAttributes() {
    posix_spawnattr_init(&attributes);
    // Children get the default answer to SIGPIPE and SIGINT whatever this process chose for itself.
    sigset_t defaults;
    sigemptyset(&defaults);
    for (const int s : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) sigaddset(&defaults, s);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    // And a session of their own: Ctrl-C is for this process to answer, which may need them to clean up.
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  }
  ~SpawnAttributes() { posix_spawnattr_destroy(&attributes); }
};

/// Moves bytes both ways until the child closes its output or the deadline passes.
bool exchange(Child& child, std::string_view input, std::string& out, Millis deadline) {
  constexpr std::size_t most_output = 1u << 20;
  Clock& clock = system_clock();
  const Millis end = clock.steady() + deadline;
  if (input.empty()) child.to_child.reset();
  std::array<char, 4096> buffer{};
  for (;;) {
    const Millis left = end - clock.steady();
    if (left <= Millis{0}) return false;
    std::array<pollfd, 2> fds{{{child.from_child.get(), POLLIN, 0}, {child.to_child.get(), POLLOUT, 0}}};
    const int ready = ::poll(fds.data(), child.to_child ? 2 : 1, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) throw from_errno(errno, "poll");
    if (ready <= 0) continue;
    if (child.to_child && fds[1].revents != 0) {
      const ssize_t n = ::write(child.to_child.get(), input.data(), std::min<std::size_t>(input.size(), 4096));
      if (n > 0) input.remove_prefix(static_cast<std::size_t>(n));
      if (input.empty() || (n < 0 && errno != EINTR))
        child.to_child.reset();  // a child that does not read is its own choice
    }
    if (fds[0].revents != 0) {
      const ssize_t n = ::read(child.from_child.get(), buffer.data(), buffer.size());
      if (n == 0) return true;
      if (n > 0 && out.size() < most_output) out.append(buffer.data(), static_cast<std::size_t>(n));
    }
  }
}

}  // namespace

int exit_status(int raw) {
  return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
}

std::pair<UniqueFd, UniqueFd> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw from_errno(errno, "pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Child::Child(Child&& other) noexcept
    : to_child(std::move(other.to_child)),
      from_child(std::move(other.from_child)),
      m_pid(std::exchange(other.m_pid, -1)) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(m_pid, other.m_pid);
  to_child = std::move(other.to_child);
  from_child = std::move(other.from_child);
  return *this;
}

Child::~Child() {
  if (m_pid <= 0) return;
  ::kill(m_pid, SIGKILL);
  int raw = 0;
  while (::waitpid(m_pid, &raw, 0) < 0 && errno == EINTR) {
  }
}

int Child::wait() {
  int raw = 0;
  while (::waitpid(m_pid, &raw, 0) < 0) {
    if (errno != EINTR) throw from_errno(errno, "waitpid");
  }
  m_pid = -1;
  return exit_status(raw);
}

int Child::wait_for(Millis deadline) {
  int status = -1;
  wait_until(system_clock(), deadline, Millis{5}, [&] {
    int raw = 0;
    const pid_t ended = ::waitpid(m_pid, &raw, WNOHANG);
    if (ended < 0 && errno != EINTR) throw from_errno(errno, "waitpid");
    if (ended != m_pid) return false;
    m_pid = -1;
    status = exit_status(raw);
    return true;
  });
  return status;
}

void Child::kill(int signal_number) {
  if (m_pid > 0) ::kill(m_pid, signal_number);
}

void Child::kill_all() {
  if (m_pid > 0) ::kill(-m_pid, SIGKILL);  // it leads a session
  kill(SIGKILL);
}

Child spawn(const Argv& argv, bool pipe_in, bool pipe_out) {
  if (argv.empty()) throw Error(Kind::usage, "an empty command can't be run");
  Child child;
  UniqueFd child_in;
  UniqueFd child_out;
  if (pipe_in) std::tie(child_in, child.to_child) = make_pipe();
  if (pipe_out) std::tie(child.from_child, child_out) = make_pipe();
  SpawnActions spawn_actions;
  posix_spawn_file_actions_t* actions = &spawn_actions.actions;
  if (pipe_in)
    posix_spawn_file_actions_adddup2(actions, child_in.get(), STDIN_FILENO);
  else
    posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(actions, pipe_out ? child_out.get() : STDERR_FILENO, STDOUT_FILENO);
  SpawnAttributes attributes;
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const int error = ::posix_spawnp(&child.m_pid, words[0], actions, &attributes.attributes, words.data(), environ);
  if (error != 0) {
    child.m_pid = -1;
    throw from_errno(error, fmt::format("start {}", argv[0]));
  }
  return child;
}

Finished run(const Argv& argv, std::string_view input, Millis deadline) {
  Finished finished;
  Child child = spawn(argv, true, true);
  // The deadline holds for the child's end too, not for its output alone.
  const Millis start = system_clock().steady();
  finished.timed_out = !exchange(child, input, finished.out, deadline);
  child.to_child.reset();
  if (!finished.timed_out) {
    const Millis left = deadline - (system_clock().steady() - start);
    finished.status = child.wait_for(std::max(left, Millis{0}));
    finished.timed_out = finished.status < 0;
  }
  if (finished.timed_out) {
    child.kill_all();
    finished.status = child.wait();
  }
  return finished;
}

std::string to_shell(const Argv& argv) {
  std::string line;
  for (const std::string& word : argv) line += (line.empty() ? "" : " ") + shell_word(word);
  return line;
}

}  // namespace umbra::base
