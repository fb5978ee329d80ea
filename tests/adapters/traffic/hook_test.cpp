// SPDX-License-Identifier: Apache-2.0
// Executables that do what they should not: whatever it is, the call ends in time, with a message that tells.
#include <signal.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "adapters/store/fork.hpp"
#include "adapters/traffic/traffic.hpp"
#include "base/error.hpp"
#include "folder.hpp"

using namespace umbra;
using ports::Failure;
using test::Folder;

namespace {

std::unique_ptr<ports::Redirector> hook(const std::string& executable, base::Millis timeout = base::Millis{10'000}) {
  return traffic::redirector({model::HookCommand{executable}, timeout, 0}, base::system_clock());
}

/// How long the call took.
template <class Call>
base::Millis time_of(Call call) {
  const base::Millis start = base::system_clock().steady();
  call();
  return base::system_clock().steady() - start;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a hook is told what to do and between which hosts, and gets the record") {
  Folder folder;
  const auto echo = hook(folder.script("hook", "echo \"$* $(cat)\""));
  CHECK(echo->redirect(test::to_beta()).message == R"(redirect alpha beta {"vm":1})");
  CHECK(echo->redirect(test::to_alpha()).message == R"(undo beta alpha {"vm":1})");
  CHECK(echo->name() == folder.at("hook"));
  CHECK(contains(echo->look(), "can be run"));
}

TEST_CASE("a hook that fails tells its exit status or signal, and its last line") {
  Folder folder;
  const auto result = hook(folder.script("fail", "echo begun; echo no route; exit 3"))->redirect(test::to_beta());
  CHECK_FALSE(result.ok);
  CHECK(result.failure == Failure::unsure);
  CHECK(contains(result.message, "exited with 3: no route"));
  CHECK_FALSE(contains(result.message, "begun"));
  CHECK(contains(hook(folder.script("err", "echo why >&2; exit 1"))->redirect(test::to_beta()).message, "with 1: why"));
  CHECK(contains(hook(folder.script("dies", "kill -9 $$"))->redirect(test::to_beta()).message, "ended by signal 9"));
}

TEST_CASE("a hook that is not there, no file or not executable surely did nothing") {
  Folder folder;
  const std::string script = folder.script("hook", "exit 0");
  const auto refused = [&](const std::string& executable, const std::string& why) {
    const auto bad = hook(executable);
    const auto result = bad->redirect(test::to_beta());
    CHECK_FALSE(result.ok);
    CHECK(result.failure == Failure::hopeless);
    CHECK(contains(result.message, why));
    try {
      bad->look();
      FAIL("it was taken for sound");
    } catch (const base::Error& error) {
      CHECK(contains(error.what(), why));
      CHECK_FALSE(error.hint().empty());
    }
  };
  refused(folder.at("absent"), "is not there");
  refused(folder.path.string(), "is no file");
  refused("no-such-program-of-umbra", "is not on the PATH");
  std::filesystem::permissions(script, std::filesystem::perms::owner_read);
  refused(script, "is not executable");
  const std::string no_interpreter = folder.script("odd", "");
  std::ofstream(no_interpreter) << "#!/no/such/interpreter\n";
  CHECK(hook(no_interpreter)->redirect(test::to_beta()).failure == Failure::hopeless);
}

TEST_CASE("a hook that hangs is killed at its deadline, with all that it started") {
  Folder folder;
  const std::string alive = folder.at("alive");
  const auto hanging =
      hook(folder.script("hang", "sleep 3600 & echo $! >" + alive + "; echo waiting; wait"), base::Millis{300});
  ports::HookResult result;
  CHECK(time_of([&] { result = hanging->redirect(test::to_beta()); }) < base::Millis{5000});
  CHECK(contains(result.message, "did not end within 0.3s and was killed: waiting"));
  CHECK(result.failure == Failure::unsure);
  std::string pid;
  std::ifstream(alive) >> pid;
  CHECK(
      base::wait_until(base::system_clock(), base::Millis{5000}, base::Millis{10}, [&] { return test::is_gone(pid); }));
}

TEST_CASE("a hook does not outlive the process that called it") {
  Folder folder;
  const std::string told = folder.at("pid");
  const auto slow =
      hook(folder.script("slow", "echo $$ >" + told + ".new; mv " + told + ".new " + told + "; exec sleep 600"));
  const pid_t caller = test::start([&] { slow->redirect(test::to_beta()); });
  REQUIRE(base::wait_until(base::system_clock(), base::Millis{30'000}, base::Millis{5},
                           [&] { return ::access(told.c_str(), F_OK) == 0; }));
  std::string pid;
  std::ifstream(told) >> pid;
  REQUIRE_FALSE(pid.empty());
  ::kill(caller, SIGKILL);
  CHECK(test::reap(caller) == 128 + SIGKILL);
  CHECK(base::wait_until(base::system_clock(), base::Millis{10'000}, base::Millis{5},
                         [&] { return test::is_gone(pid); }));
}

TEST_CASE("a hook that reads nothing, or closes its output, is waited for") {
  Folder folder;
  ports::Redirection large = test::to_beta();
  large.record.assign(4u << 20, 'x');
  CHECK(hook(folder.script("deaf", "exec sleep 0.1"))->redirect(large).ok);
  CHECK_FALSE(hook(folder.script("mute", "exec >&- 2>&- ; sleep 0.1; exit 4"))->redirect(test::to_beta()).ok);
}

TEST_CASE("a child that keeps the hook's output open is not waited for, and lives on") {
  Folder folder;
  const std::string pid_file = folder.at("pid");
  const auto forks = hook(folder.script("fork", "sleep 20 & echo $! >" + pid_file + "; echo done"));
  ports::HookResult result;
  CHECK(time_of([&] { result = forks->redirect(test::to_beta()); }) < base::Millis{5000});
  CHECK(result.ok);
  CHECK(result.message == "done");
  int pid = 0;
  std::ifstream(pid_file) >> pid;
  REQUIRE(pid > 1);
  CHECK(::kill(pid, SIGKILL) == 0);
}

TEST_CASE("of megabytes of output the last line is kept, and of that line what can be shown") {
  Folder folder;
  const auto loud =
      hook(folder.script("loud", "head -c 20000000 /dev/zero | tr '\\0' x; echo; printf 'the\\033end\\n'; exit 1"));
  CHECK(contains(loud->redirect(test::to_beta()).message, "exited with 1: the?end"));
  const auto endless = hook(folder.script("endless", "exec yes no"), base::Millis{300});
  ports::HookResult result;
  CHECK(time_of([&] { result = endless->redirect(test::to_beta()); }) < base::Millis{5000});
  CHECK(contains(result.message, "did not end within"));
  const auto one_line = hook(folder.script("line", "head -c 5000000 /dev/zero | tr '\\0' x; exit 1"));
  CHECK(one_line->redirect(test::to_beta()).message.size() < 500);
}
