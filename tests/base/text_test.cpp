// SPDX-License-Identifier: Apache-2.0
#include "base/text.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>

using namespace umbra::base;

TEST_CASE("a swap, a lost, an added and a wrong letter are one slip each") {
  CHECK(edit_distance("window", "windwo") == 1);
  CHECK(edit_distance("window", "windw") == 1);
  CHECK(edit_distance("window", "winddow") == 1);
  CHECK(edit_distance("window", "wimdow") == 1);
  CHECK(edit_distance("Window", "window") == 0);
  CHECK(edit_distance("", "abc") == 3);
}

TEST_CASE("the distance is the same both ways, and zero for equal words") {
  rc::check([](const std::string& a, const std::string& b) {
    RC_ASSERT(edit_distance(a, b) == edit_distance(b, a));
    RC_ASSERT(edit_distance(a, a) == 0u);
    RC_ASSERT(edit_distance(a, b) <= std::max(a.size(), b.size()));
  });
}

TEST_CASE("the nearest candidate is found, and none where all are far") {
  const std::vector<std::string> vms{"web1", "web2", "db1", "mail"};
  CHECK(nearest("wbe1", vms) == "web1");
  CHECK(nearest("web", vms) == "web1");
  CHECK(nearest("db2", vms) == "db1");
  CHECK_FALSE(nearest("storage", vms));
  CHECK_FALSE(nearest("", vms));
  CHECK_FALSE(nearest("x", {"y"}));
  CHECK(did_you_mean("maill", vms) == "; did you mean \"mail\"?");
  CHECK(did_you_mean("storage", vms).empty());
}

TEST_CASE("a word for a shell stands as it is where it is safe, else in single quotes") {
  CHECK(shell_word("web1") == "web1");
  CHECK(shell_word("qemu+unix:///system?socket=/run/a") == "'qemu+unix:///system?socket=/run/a'");
  CHECK(shell_word("qemu:///system") == "qemu:///system");
  CHECK(shell_word("big vm") == "'big vm'");
  CHECK(shell_word("it's") == "'it'\\''s'");
  CHECK(shell_word("$(reboot)") == "'$(reboot)'");
  CHECK(shell_word("") == "''");
}
