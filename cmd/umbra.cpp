// SPDX-License-Identifier: Apache-2.0
#include "cmd/umbra.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <system_error>
#include <vector>

#include "base/cancel.hpp"
#include "base/log.hpp"
#include "cmd/cli.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"

namespace umbra::cmd {
namespace {

/// The one token that a signal handler can reach.
base::CancelToken& process_cancel() {
  static base::CancelToken token;
  return token;
}

void on_signal(int number) {
  process_cancel().request(number);
}

/// The first signal asks for an orderly end; a second of the same kind ends the process as usual.
void watch_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGCHLD, SIG_DFL);  // a parent that ignores it would leave no exit status to wait for
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
}

/// A descriptor of 0 to 2 that the caller closed would be given to the next thing opened, and its bytes be taken for
/// input, or written into. In its place is one that fails: closed input can't be read, closed output not written.
void keep_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

/// Documents for the build: `umbra --document man [VERB]`, `bash`, `zsh`.
std::string document(const std::vector<std::string>& words) {
  if (words.size() > 1 && words[1] == "bash") return bash_completion();
  if (words.size() > 1 && words[1] == "zsh") return zsh_completion();
  if (words.size() > 1 && words[1] == "man") {
    if (words.size() == 2) return man_page(nullptr, UMBRA_VERSION);
    for (const Verb& verb : verbs()) {
      if (verb.name == words[2]) return man_page(&verb, UMBRA_VERSION);
    }
  }
  throw base::Error(base::Kind::usage, "--document takes man [VERB], bash or zsh");
}

int run_verb(Parsed& parsed) {
  if (parsed.common.quiet) base::set_log_level(base::Level::error);
  if (parsed.common.verbose) base::set_log_level(base::Level::debug);
  Session session(parsed.common, process_cancel());
  return parsed.verb->run(session);
}

}  // namespace

int run(int argc, char** argv) {
  keep_standard_descriptors();
  watch_signals();
  const std::vector<std::string> words(argv + 1, argv + argc);
  std::string verb;
  try {
    if (!words.empty() && words[0] == "--document") {
      std::fputs(document(words).c_str(), stdout);
      return exit_done;
    }
    Parsed parsed = parse(words, UMBRA_VERSION);
    if (!parsed.verb) {
      std::fputs(parsed.text.c_str(), stdout);
      return exit_done;
    }
    verb = parsed.verb->name;
    return run_verb(parsed);
  } catch (const ReaderGone&) {
    return 128 + SIGPIPE;  // as if by the signal: whoever read has what was wanted
  } catch (const base::Error& error) {
    if (const int signal_number = process_cancel().signal(); signal_number != 0) {
      base::log(base::Level::error, fmt::format("{}: ended by signal {}", verb, signal_number));
      return 128 + signal_number;
    }
    print_error(error, verb, "");
    return status_of(error.kind());
  } catch (const std::system_error& error) {
    const base::Error told = base::from_system(error);
    print_error(told, verb, "");
    return status_of(told.kind());
  } catch (const std::exception& error) {
    base::log(base::Level::error, fmt::format("{}: a defect of umbra: {}", verb, error.what()));
    return exit_failed;
  }
}

}  // namespace umbra::cmd
