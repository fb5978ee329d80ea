// SPDX-License-Identifier: Apache-2.0
#include "cmd/guard.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "adapters/procfs/guard_door.hpp"
#include "adapters/procfs/move_guard.hpp"
#include "base/log.hpp"
#include "base/process.hpp"
#include "cmd/exit_status.hpp"

namespace umbra::cmd {
namespace {

using base::UniqueFd;

/// What the guard writes goes to whoever started it as long as they are there. It holds none of their streams itself:
/// they would wait for its end.
void take_streams(const UniqueFd& messages) {
  const UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::dup2(nothing.get(), STDIN_FILENO);
  ::dup2(nothing.get(), STDOUT_FILENO);
  ::dup2(messages.get(), STDERR_FILENO);
}

/// The guard's process.
void be_the_guard(Session& session, const model::Uuid& vm, const std::vector<std::string>& images,
                  const UniqueFd& owner, UniqueFd messages) {
  ::setsid();
  // Its looks must come in time on the busiest host; where it may not go first, they come as they do.
  ::setpriority(PRIO_PROCESS, 0, -20);
  ::mlockall(MCL_CURRENT | MCL_FUTURE);
  UniqueFd caller(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  take_streams(messages);
  messages.reset();
  procfs::GuardOptions options;
  options.vm = vm;
  options.owner_fd = owner.get();
  options.images = images;
  procfs::guard_move(options, session.cancel(), session.clock(), [&] {
    base::write_all(caller.get(), std::string_view("+\n"), "standard output");
    caller.reset();
  });
}

/// Passes on what either side writes. True once the guard has ended, false once whoever started this has.
bool relay(const UniqueFd& owner, const UniqueFd& messages) {
  std::array<std::byte, 4096> bytes{};
  std::array<pollfd, 2> both{pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{messages.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(both.data(), both.size(), -1) < 0) {
      if (errno != EINTR) throw base::from_errno(errno, "wait for the guard");
      continue;
    }
    for (const pollfd& one : both) {
      if (one.revents == 0) continue;
      const ssize_t got = ::read(one.fd, bytes.data(), bytes.size());
      if (got <= 0) return one.fd != STDIN_FILENO;
      base::write_all(one.fd == STDIN_FILENO ? owner.get() : STDERR_FILENO,
                      std::span(bytes).first(static_cast<std::size_t>(got)), "the guard");
    }
  }
}

}  // namespace

int guard_here(Session& session, const model::Uuid& vm, const std::vector<std::string>& images) {
  if (procfs::ask_guard(vm, procfs::Wish::make_room))  // of an earlier walk
    throw base::Error(base::Kind::busy, fmt::format("{} is held here since an earlier move", vm.get()));
  auto [wanted, owner] = base::make_pipe();
  auto [messages, written] = base::make_pipe();
  const pid_t guard = ::fork();
  if (guard < 0) throw base::from_errno(errno, "start the guard");
  if (guard == 0) {
    owner.reset();
    messages.reset();
    be_the_guard(session, vm, images, wanted, std::move(written));
    return exit_done;
  }
  wanted.reset();
  written.reset();
  if (!relay(owner, messages)) return exit_done;
  int raw = 0;
  if (::waitpid(guard, &raw, 0) != guard) throw base::from_errno(errno, "wait for the guard");
  return base::exit_status(raw);
}

void end_guard_here(Session& session, const model::Uuid& vm) {
  session.out().json_line({{"held", procfs::ask_guard(vm, procfs::Wish::let_go)}});
}

}  // namespace umbra::cmd
