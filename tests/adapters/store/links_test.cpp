// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/links.hpp"

#include <catch2/catch.hpp>

#include "fork.hpp"
#include "temp_dir.hpp"

namespace umbra::store {
namespace {

const model::HostName alpha{"alpha"};
const model::HostName beta{"beta"};

model::VmName vm(const std::string& name) {
  return model::VmName(name);
}

}  // namespace

TEST_CASE("passes of one host share its link by their weights, and those of another don't count") {
  const test::TempDir dir;
  FileLinks links(dir.path());
  const auto critical = links.enter(alpha, vm("critical"), 8);
  const auto low = links.enter(alpha, vm("low"), 1);
  const auto elsewhere = links.enter(beta, vm("elsewhere"), 8);
  CHECK(critical->share() == Approx(8.0 / 9));
  CHECK(low->share() == Approx(1.0 / 9));
  CHECK(elsewhere->share() == 1);
}

TEST_CASE("a pass that ended leaves its share to the others, and may begin anew") {
  const test::TempDir dir;
  FileLinks links(dir.path());
  links.enter(alpha, vm("critical"), 8);
  CHECK(links.enter(alpha, vm("low"), 1)->share() == 1);
  const auto again = links.enter(alpha, vm("critical"), 4);
  CHECK(links.enter(alpha, vm("low"), 4)->share() == 0.5);
}

TEST_CASE("a pass that was killed counts no more") {
  const test::TempDir dir;
  test::Signpost entered;
  const pid_t other = test::start([&] {
    FileLinks links(dir.path());
    const auto share = links.enter(alpha, vm("other"), 3);
    entered.reached();
    ::pause();
  });
  entered.await();
  FileLinks links(dir.path());
  CHECK(links.enter(alpha, vm("one"), 1)->share() == 0.25);
  ::kill(other, SIGKILL);
  test::reap(other);
  CHECK(links.enter(alpha, vm("one"), 1)->share() == 1);
}

}  // namespace umbra::store
