// SPDX-License-Identifier: Apache-2.0
#include "adapters/traffic/command.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"

extern char** environ;

namespace umbra::traffic {
namespace {

using base::Millis;
using base::UniqueFd;

constexpr std::size_t kept_output = 16u << 10;  // of each of its outputs, the newest part
constexpr Millis longest_look{5};               // between two looks whether it has ended

void never_block(const UniqueFd& fd) {
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) throw base::from_errno(errno, "set up a pipe");
}

/// How it is started: the ends of pipes that are its own, a session of its own so that it can be killed with its
/// children, and the default answers to signals.
class Start {
 public:
  Start(int in, int out, int err) {
    ::posix_spawn_file_actions_init(&m_actions);
    ::posix_spawnattr_init(&m_attributes);
    ::posix_spawn_file_actions_adddup2(&m_actions, in, STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&m_actions, out, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&m_actions, err, STDERR_FILENO);
    sigset_t defaults;
    ::sigemptyset(&defaults);
    for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&defaults, signal);
    ::posix_spawnattr_setsigdefault(&m_attributes, &defaults);
    ::posix_spawnattr_setflags(&m_attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  }
  Start(const Start&) = delete;
  Start& operator=(const Start&) = delete;
  ~Start() {
    ::posix_spawnattr_destroy(&m_attributes);
    ::posix_spawn_file_actions_destroy(&m_actions);
  }

  pid_t operator()(const base::Argv& argv) const {
    std::vector<char*> words;
    for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, words[0], &m_actions, &m_attributes, words.data(), environ);
    if (error != 0) throw base::from_errno(error, "start " + argv[0]);
    return pid;
  }

 private:
  posix_spawn_file_actions_t m_actions{};
  posix_spawnattr_t m_attributes{};
};

/// One of its outputs: all is read, so that it never waits for this process, and the newest part is kept.
class Output {
 public:
  explicit Output(UniqueFd fd) : m_fd(std::move(fd)) { never_block(m_fd); }
  int fd() const { return m_fd.get(); }

  /// Takes what is there now, up to some; whoever writes without end is not waited for.
  void take() {
    constexpr int most_pieces = 64;
    std::array<char, 16384> piece{};
    for (int i = 0; i < most_pieces && m_fd; ++i) {
      const ssize_t n = ::read(m_fd.get(), piece.data(), piece.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) return m_fd.reset();
      m_text.append(piece.data(), static_cast<std::size_t>(n));
      if (m_text.size() > 2 * kept_output) m_text.erase(0, m_text.size() - kept_output);
    }
  }

  std::string text() && { return std::move(m_text); }

 private:
  UniqueFd m_fd;
  std::string m_text;
};

class Command {
 public:
  Command(base::Argv argv, std::string_view input) : m_input(input) {
    // It ends with this process, however that ends: left alone it would act after recovery has undone what it did.
    const base::Argv tied = {"setpriv", "--pdeathsig", "KILL", "--"};
    argv.insert(argv.begin(), tied.begin(), tied.end());
    auto [its_in, in] = base::make_pipe();
    auto [out, its_out] = base::make_pipe();
    auto [err, its_err] = base::make_pipe();
    m_pid = Start(its_in.get(), its_out.get(), its_err.get())(argv);
    m_in = std::move(in);
    m_out.emplace(std::move(out));
    m_err.emplace(std::move(err));
    never_block(m_in);
  }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  ~Command() {
    if (m_pid > 0) kill_all();
  }

  Ended run_until(Millis deadline) {
    const Millis end = base::system_clock().steady() + deadline;
    Ended ended;
    while (!has_ended(ended.status)) {
      const Millis left = end - base::system_clock().steady();
      if (left <= Millis{0}) {
        ended.timed_out = true;
        ended.status = kill_all();
        break;
      }
      exchange(std::min(left, longest_look));
    }
    m_out->take();
    m_err->take();
    ended.out = std::move(*m_out).text();
    ended.err = std::move(*m_err).text();
    return ended;
  }

 private:
  bool has_ended(int& status) {
    int raw = 0;
    const pid_t ended = ::waitpid(m_pid, &raw, WNOHANG);
    if (ended < 0 && errno != EINTR) throw base::from_errno(errno, "waitpid");
    if (ended != m_pid) return false;
    m_pid = -1;
    status = base::exit_status(raw);
    return true;
  }

  /// What not even SIGKILL ends, as in a call of a dead file server, is left to itself.
  int kill_all() {
    constexpr Millis most{2000};
    ::kill(-m_pid, SIGKILL);  // its session's first group: it, and what it started and did not set apart
    ::kill(m_pid, SIGKILL);
    int status = 128 + SIGKILL;
    base::wait_until(base::system_clock(), most, Millis{2}, [&] { return has_ended(status); });
    m_pid = -1;
    return status;
  }

  void exchange(Millis most) {
    if (m_input.empty()) m_in.reset();
    std::array<pollfd, 3> fds{{{m_out->fd(), POLLIN, 0}, {m_err->fd(), POLLIN, 0}, {m_in.get(), POLLOUT, 0}}};
    ::poll(fds.data(), fds.size(), static_cast<int>(most.count()));  // one that is closed is passed by
    if (fds[0].revents != 0) m_out->take();
    if (fds[1].revents != 0) m_err->take();
    if (fds[2].revents == 0) return;
    const ssize_t n = ::write(m_in.get(), m_input.data(), m_input.size());
    if (n > 0) m_input.remove_prefix(static_cast<std::size_t>(n));
    if (n < 0 && errno != EAGAIN && errno != EINTR) m_in.reset();  // one that does not read is its own choice
  }

  std::string_view m_input;
  pid_t m_pid = -1;
  UniqueFd m_in;
  std::optional<Output> m_out;
  std::optional<Output> m_err;
};

/// The last line that says something, as far as a message can show it.
std::string last_line(std::string_view text) {
  constexpr std::size_t longest = 200;
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) return {};
  text = text.substr(0, end + 1);
  if (const std::size_t line = text.rfind('\n'); line != std::string_view::npos) text.remove_prefix(line + 1);
  std::string shown(text.substr(0, longest));
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text.size() > longest ? shown + "..." : shown;
}

std::string how_it_ended(int status) {
  return status > 128 ? fmt::format("was ended by signal {}", status - 128) : fmt::format("exited with {}", status);
}

}  // namespace

Ended run(const base::Argv& argv, std::string_view input, Millis deadline) {
  if (argv.empty()) throw base::Error(base::Kind::usage, "an empty command can't be run");
  Ended ended = Command(argv, input).run_until(deadline);
  constexpr std::string_view setpriv = "setpriv: ";
  if ((ended.status == 126 || ended.status == 127) && ended.err.starts_with(setpriv))
    throw base::Error(base::Kind::io, "start " + argv[0] + ": " + last_line(ended.err.substr(setpriv.size())));
  return ended;
}

ports::HookResult call(const base::Argv& argv, std::string_view input, Millis deadline) {
  const std::string what = base::to_shell(argv);
  std::optional<Ended> ended;
  try {
    require_runnable(argv);
    ended = run(argv, input, deadline);
  } catch (const base::Error& error) {
    return {false, error.what(), ports::Failure::hopeless};
  }
  std::string words = last_line(ended->err);
  if (words.empty()) words = last_line(ended->out);
  const std::string said = words.empty() ? "" : ": " + words;
  if (ended->timed_out)
    return {false, fmt::format("{} did not end within {} and was killed{}", what, base::to_human(deadline), said)};
  if (ended->status != 0) return {false, fmt::format("{} {}{}", what, how_it_ended(ended->status), said)};
  return {true, last_line(ended->out)};
}

std::string require_runnable(const base::Argv& argv) {
  const std::string& program = argv.at(0);
  const std::string word = base::shell_word(program);
  if (program.find('/') != std::string::npos) {
    struct stat about {};
    if (::stat(program.c_str(), &about) != 0)
      throw base::Error(base::Kind::not_found, program + " is not there", "install it, or take it out of [vms]");
    if (!S_ISREG(about.st_mode))
      throw base::Error(base::Kind::usage, program + " is no file", "name an executable in [vms]");
    if (::access(program.c_str(), X_OK) != 0)
      throw base::Error(base::Kind::usage, program + " is not executable", "chmod +x " + word);
    return program;
  }
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const auto end = std::min(rest.find(':'), rest.size());
    const std::string candidate = fmt::format("{}/{}", rest.substr(0, end), program);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  throw base::Error(base::Kind::not_found, program + " is not on the PATH",
                    "install it, or write where it is, from the root folder on");
}

}  // namespace umbra::traffic
