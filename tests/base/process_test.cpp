// SPDX-License-Identifier: Apache-2.0
#include <sys/wait.h>
#include <catch2/catch.hpp>

#include "base/process.hpp"

using namespace umbra;

TEST_CASE("a child that is left goes on, and hears that nobody speaks to it any more") {
  base::Child child = base::spawn({"sh", "-c", "read -r word; exit 7"}, true, true);
  const pid_t pid = child.pid();
  child.leave();
  { const base::Child gone = std::move(child); }
  int raw = 0;
  REQUIRE(::waitpid(pid, &raw, 0) == pid);
  CHECK(base::exit_status(raw) == 7);
}

TEST_CASE("a child that is not left is ended with what holds it") {
  pid_t pid = -1;
  {
    const base::Child child = base::spawn({"sleep", "600"}, true, true);
    pid = child.pid();
  }
  int raw = 0;
  CHECK(::waitpid(pid, &raw, 0) == -1);
}
