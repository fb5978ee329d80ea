// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/process.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/error.hpp"

extern char** environ;

namespace umbra::nbd {
namespace {

constexpr int first_listener = 3;  // where sd_listen_fds(3) looks
constexpr std::string_view pid_variable = "LISTEN_PID=";

/// A copy of `fd` far above the numbers that the child assigns, so that no assignment overwrites a source.
base::UniqueFd lifted(int fd) {
  if (fd < 0) return {};
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 16);
  if (copy < 0) throw base::from_errno(errno, "duplicate a descriptor");
  return base::UniqueFd(copy);
}

std::vector<std::string> child_environment(bool listening) {
  std::vector<std::string> variables;
  for (char** v = environ; *v != nullptr; ++v) {
    const std::string_view variable(*v);
    if (!variable.starts_with("LISTEN_")) variables.emplace_back(variable);
  }
  if (listening) {
    variables.emplace_back("LISTEN_FDS=1");
    variables.emplace_back(std::string(pid_variable) + std::string(20, ' '));  // the child fills its own pid in
  }
  return variables;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (std::string& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  return list;
}

void write_pid(char* place) {
  std::array<char, 20> digits{};
  std::size_t n = 0;
  for (auto pid = static_cast<unsigned>(::getpid()); pid != 0; pid /= 10)
    digits[n++] = static_cast<char>('0' + pid % 10);
  for (std::size_t i = 0; i < n; ++i) place[i] = digits[n - 1 - i];
  place[n] = '\0';
}

/// Between fork and exec: async-signal-safe calls alone, for another thread may have held any lock.
[[noreturn]] void become(char* const* argv, char* const* environment, char* pid_place, const std::array<int, 4>& fds,
                         int failure, pid_t parent) {
  if (fds[first_listener] >= 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);  // it died before the line above
  }
  for (const int s : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) ::signal(s, SIG_DFL);
  ::setsid();  // the terminal's signals are for umbra to answer
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int to = 0; to < 4; ++to) {
    const int from = fds[static_cast<std::size_t>(to)];
    if (from >= 0) ::dup2(from, to);
  }
  if (pid_place != nullptr) write_pid(pid_place);
  ::execvpe(argv[0], argv, environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t told = ::write(failure, &error, sizeof error);
  ::_exit(127);
}

}  // namespace

Process::Process(const base::Argv& argv, const ChildFds& fds) {
  if (argv.empty()) throw base::Error(base::Kind::usage, "an empty command can't be run");
  std::vector<std::string> words(argv);
  std::vector<std::string> variables = child_environment(fds.listener >= 0);
  const std::vector<char*> argv_pointers = pointers(words);
  const std::vector<char*> environment = pointers(variables);
  char* pid_place = fds.listener >= 0 ? variables.back().data() + pid_variable.size() : nullptr;

  const base::UniqueFd nothing = base::open_file("/dev/null", O_RDONLY);
  const base::UniqueFd in = lifted(fds.in >= 0 ? fds.in : nothing.get());
  const base::UniqueFd out = lifted(fds.out >= 0 ? fds.out : STDERR_FILENO);
  const base::UniqueFd err = lifted(fds.err >= 0 ? fds.err : STDERR_FILENO);
  const base::UniqueFd listener = lifted(fds.listener);
  static_assert(first_listener == 3);
  auto [read_end, low_end] = base::make_pipe();
  base::UniqueFd write_end = lifted(low_end.get());
  low_end.reset();

  const pid_t parent = ::getpid();
  m_pid = ::fork();
  if (m_pid < 0) throw base::from_errno(errno, "fork");
  if (m_pid == 0)
    become(argv_pointers.data(), environment.data(), pid_place, {in.get(), out.get(), err.get(), listener.get()},
           write_end.get(), parent);
  write_end.reset();
  int error = 0;
  if (base::read_full(read_end.get(), std::as_writable_bytes(std::span(&error, 1)), "a pipe") == sizeof error) {
    wait();
    throw base::from_errno(error, fmt::format("start {}", argv[0])).set_hint(fmt::format("install {}", argv[0]));
  }
}

Process::Process(Process&& other) noexcept
    : m_pid(std::exchange(other.m_pid, -1)), m_status(std::exchange(other.m_status, -1)) {}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(m_pid, other.m_pid);
  std::swap(m_status, other.m_status);
  return *this;
}

Process::~Process() {
  if (m_pid <= 0) return;
  ::kill(m_pid, SIGTERM);
  try {
    if (wait_for(base::Millis{2000}) >= 0) return;
  } catch (const std::exception&) {
    // Nothing more can be asked of it: it is killed below.
  }
  ::kill(m_pid, SIGKILL);
  wait();
}

int Process::wait() {
  int raw = 0;
  while (::waitpid(m_pid, &raw, 0) < 0 && errno == EINTR) {
  }
  m_pid = -1;
  return m_status = base::exit_status(raw);
}

int Process::wait_for(base::Millis deadline) {
  if (m_pid <= 0) return m_status;
  base::wait_until(base::system_clock(), deadline, base::Millis{2}, [&] {
    int raw = 0;
    if (::waitpid(m_pid, &raw, WNOHANG) != m_pid) return false;
    m_pid = -1;
    m_status = base::exit_status(raw);
    return true;
  });
  return m_status;
}

base::UniqueFd make_capture() {
  const int fd = ::memfd_create("umbra-capture", MFD_CLOEXEC);
  if (fd < 0) throw base::from_errno(errno, "memfd_create");
  return base::UniqueFd(fd);
}

std::string captured(const base::UniqueFd& capture, std::size_t limit) {
  const off_t size = ::lseek(capture.get(), 0, SEEK_END);
  std::string text(std::min(limit, static_cast<std::size_t>(std::max<off_t>(size, 0))), '\0');
  text.resize(base::read_at(capture.get(), 0, std::as_writable_bytes(std::span(text)), "what a tool said"));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

int read_tool(const base::Argv& argv, const std::function<void(std::FILE* told)>& read) {
  auto [read_end, write_end] = base::make_pipe();
  const base::UniqueFd err = make_capture();
  Process process(argv, {.in = -1, .out = write_end.get(), .err = err.get()});
  write_end.reset();
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> told(::fdopen(read_end.get(), "r"), &std::fclose);
  if (!told) throw base::from_errno(errno, "read a pipe");
  read_end.release();
  read(told.get());
  if (std::fgetc(told.get()) != EOF) return 128 + SIGTERM;  // the process ends with this scope
  return process.wait_for(base::Millis{60'000});
}

ToolResult run_tool(const base::Argv& argv) {
  const base::UniqueFd out = make_capture();
  const base::UniqueFd err = make_capture();
  Process process(argv, {.in = -1, .out = out.get(), .err = err.get()});
  ToolResult result;
  while ((result.status = process.wait_for(base::Millis{60'000})) < 0) {
    // A commit of a large layer takes as long as it takes.
  }
  result.out = captured(out, 64u << 20);
  result.err = captured(err, 64u << 10);
  return result;
}

}  // namespace umbra::nbd
