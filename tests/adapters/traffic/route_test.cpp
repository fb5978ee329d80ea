// SPDX-License-Identifier: Apache-2.0
// iproute2 itself, in a network namespace of the test's own: a thread has one, and so do the processes that it starts.
#include <sched.h>
#include <catch2/catch.hpp>

#include <functional>
#include <iostream>
#include <thread>

#include "adapters/traffic/traffic.hpp"
#include "base/error.hpp"
#include "folder.hpp"

using namespace umbra;
using ports::Failure;
using test::to_alpha;
using test::to_beta;

namespace {

std::string ip(const std::string& words) {
  base::Argv argv{"ip"};
  std::string word;
  for (const char c : words + " ") {
    if (c != ' ') {
      word += c;
    } else {
      argv.push_back(std::exchange(word, {}));
    }
  }
  return base::run(argv, "", base::Millis{10'000}).out;
}

/// Runs it where 10.0.0.0/24 and fd00::/64 are on a link of their own. Without the right to a namespace the test is
/// skipped.
void in_namespace(const std::function<void()>& act) {
  bool allowed = true;
  std::thread([&] {
    allowed = ::unshare(CLONE_NEWNET) == 0;
    if (!allowed) return;
    ip("link add out type veth peer name far");
    ip("link set lo up");
    ip("link set out up");
    ip("link set far up");
    ip("address add 10.0.0.254/24 dev out");
    ip("address add fd00::254/64 dev out nodad");
    act();
  }).join();
  if (allowed) return;
  std::cerr << "skipped: no right to a network namespace\n";
  std::exit(77);
}

std::unique_ptr<ports::Redirector> redirector(model::RouteChange route) {
  return traffic::redirector({std::move(route), base::Millis{10'000}, 0}, base::system_clock());
}

model::RouteChange web1_route() {
  model::RouteChange route;
  route.destination = "10.1.0.7/32";
  route.via = {{"alpha", "10.0.0.1"}, {"beta", "10.0.0.2"}};
  return route;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the VM's address goes via the new host, and via the old one when that is undone") {
  in_namespace([] {
    const auto route = redirector(web1_route());
    CHECK(contains(route->look(), "alpha by 10.0.0.1 on out"));
    for (int twice = 0; twice < 2; ++twice) {
      const auto there = route->redirect(to_beta());
      CHECK(there.message == "10.1.0.7/32 goes via 10.0.0.2");
      CHECK(there.ok);
      CHECK(contains(ip("route get 10.1.0.7"), "via 10.0.0.2 dev out"));
    }
    CHECK(route->redirect(to_alpha()).ok);
    CHECK(contains(ip("route get 10.1.0.7"), "via 10.0.0.1 dev out"));
    CHECK(ip("route show exact 10.1.0.7/32").find('\n') == ip("route show exact 10.1.0.7/32").size() - 1);
  });
}

TEST_CASE("a route in a table and by a device of its own, and one of IPv6") {
  in_namespace([] {
    model::RouteChange own = web1_route();
    own.table = "100";
    own.dev = "out";
    CHECK(redirector(own)->redirect(to_beta()).ok);
    CHECK(contains(ip("route show table 100"), "10.1.0.7 via 10.0.0.2 dev out"));
    CHECK(ip("route show exact 10.1.0.7/32").empty());
    model::RouteChange six;
    six.destination = "fd01::7/128";
    six.via = {{"alpha", "fd00::1"}, {"beta", "fd00::2"}};
    const auto seen = redirector(six)->redirect(to_beta());
    CHECK(seen.message == "fd01::7/128 goes via fd00::2");
    CHECK(contains(ip("-6 route get fd01::7"), "via fd00::2"));
  });
}

TEST_CASE("a route that the kernel does not take, or that another goes before, is a failure that says why") {
  in_namespace([] {
    model::RouteChange far = web1_route();
    far.via["beta"] = "192.168.7.1";
    const auto result = redirector(far)->redirect(to_beta());
    CHECK_FALSE(result.ok);
    CHECK(contains(result.message, "ip route replace 10.1.0.7/32 via 192.168.7.1 exited with 2: "));
    CHECK_THROWS_AS(redirector(far)->look(), base::Error);

    // A route for the same address with a lower metric wins over ours.
    model::RouteChange hidden = web1_route();
    ip("route add 10.1.0.7/32 via 10.0.0.9 metric 0");
    ip("rule add to 10.1.0.7 table 55");
    ip("route add 10.1.0.7/32 via 10.0.0.9 table 55");
    const auto shadowed = redirector(hidden)->redirect(to_beta());
    CHECK_FALSE(shadowed.ok);
    CHECK(shadowed.failure == Failure::unsure);
    CHECK(contains(shadowed.message, "shows one via 10.0.0.9, not one via 10.0.0.2"));
  });
}

TEST_CASE("a host without a gateway, and an ip that is not there, are told before anything is done") {
  model::RouteChange route = web1_route();
  route.via.erase("beta");
  const auto none = redirector(route)->redirect(to_beta());
  CHECK(none.failure == Failure::hopeless);
  CHECK(contains(none.message, "its via says nothing for host beta"));
  route = web1_route();
  route.ip = {"no-such-program-of-umbra"};
  CHECK(redirector(route)->redirect(to_beta()).failure == Failure::hopeless);
  CHECK_THROWS_AS(redirector(route)->look(), base::Error);
}
