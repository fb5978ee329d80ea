// SPDX-License-Identifier: Apache-2.0
// HAProxy itself, from Debian's package: its clients are followed, not only its words.
#include <catch2/catch.hpp>

#include "adapters/traffic/connection.hpp"
#include "adapters/traffic/server_states.hpp"
#include "adapters/traffic/traffic.hpp"
#include "fakes/thrown.hpp"
#include "servers.hpp"

using namespace umbra;
using ports::Failure;
using test::to_alpha;
using test::to_beta;

namespace {

/// HAProxy before the VM's two places; web-b is in maintenance, as the VM is at alpha.
class Balancer {
 public:
  Balancer() : m_front(test::Listener().address()), m_tcp(test::Listener().address()) {
    const std::string config = m_folder.at("haproxy.cfg");
    std::ofstream(config) << "global\n"
                          << "  stats socket " << socket() << " mode 600 level admin\n"
                          << "  stats socket " << reader() << " mode 600 level operator\n"
                          << "  stats socket ipv4@" << m_tcp << " level admin\n"
                          << "defaults\n  mode http\n  timeout connect 1s\n  timeout client 5s\n  timeout server 5s\n"
                          << "frontend front\n  bind " << m_front << "\n  default_backend web\n"
                          << "backend web\n  server web-a " << alpha.address() << "\n  server web-b " << beta.address()
                          << " check inter 100ms fall 1 rise 1 disabled\n"
                          << "backend one\n  server web1 " << alpha.address() << "\n";
    m_process = base::spawn({"haproxy", "-f", config, "-db", "-q"}, false, false);
    const bool up = base::wait_until(base::system_clock(), base::Millis{20'000}, base::Millis{20}, [&] {
      try {
        return ask("show info").find("Name: HAProxy") != std::string::npos;
      } catch (const base::Error&) {
        return false;
      }
    });
    REQUIRE(up);
  }

  std::string socket() const { return m_folder.at("admin.sock"); }
  std::string reader() const { return m_folder.at("reader.sock"); }
  std::string tcp() const { return m_tcp; }

  std::string ask(const std::string& command) const { return said(socket(), command + "\n"); }
  traffic::ServerState state(const std::string& backend, const std::string& server) const {
    return traffic::parse_server_states(ask("show servers state " + backend), backend).at(server);
  }
  /// Which of the VM's places a client reaches.
  std::string reached() const {
    const std::string answer = said(m_front, "GET / HTTP/1.0\r\n\r\n");
    return answer.find("alpha") != std::string::npos  ? "alpha"
           : answer.find("beta") != std::string::npos ? "beta"
                                                      : answer;
  }
  void stop() { m_process = {}; }

  test::WebServer alpha{"alpha"};
  test::WebServer beta{"beta"};

 private:
  static std::string said(const std::string& address, const std::string& words) {
    traffic::Connection connection(address, base::Millis{5000});
    connection.send(words);
    return connection.read_to_end();
  }

  test::Folder m_folder;
  std::string m_front;
  std::string m_tcp;
  base::Child m_process;
};

model::HaproxyChange servers_at(const std::string& socket) {
  model::HaproxyChange change;
  change.socket = socket;
  change.backend = "web";
  change.servers = {{"alpha", "web-a"}, {"beta", "web-b"}};
  return change;
}

std::unique_ptr<ports::Redirector> redirector(model::HaproxyChange change, base::Millis timeout = base::Millis{5000}) {
  return traffic::redirector({std::move(change), timeout, 0}, base::system_clock());
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("clients go to the new host's server, and back when that is undone") {
  const Balancer balancer;
  const auto haproxy = redirector(servers_at(GENERATE(true, false) ? balancer.socket() : balancer.tcp()));
  CHECK(contains(haproxy->look(), "web uses web-a"));
  REQUIRE(balancer.reached() == "alpha");
  for (int twice = 0; twice < 2; ++twice) {  // it bears repetition
    const auto result = haproxy->redirect(to_beta());
    CHECK(result.message == "web is as asked");
    REQUIRE(result.ok);
    CHECK(balancer.reached() == "beta");
    CHECK(balancer.reached() == "beta");  // and not by turns
    CHECK(balancer.state("web", "web-a").maintenance);
  }
  REQUIRE(haproxy->redirect(to_alpha()).ok);
  CHECK(balancer.reached() == "alpha");
  CHECK(balancer.reached() == "alpha");
  CHECK(balancer.state("web", "web-b").maintenance);
}

TEST_CASE("the others are drained where that is asked for") {
  const Balancer balancer;
  model::HaproxyChange change = servers_at(balancer.socket());
  change.drain = true;
  REQUIRE(redirector(change)->redirect(to_beta()).ok);
  CHECK(balancer.state("web", "web-a").drained);
  CHECK_FALSE(balancer.state("web", "web-a").maintenance);
  CHECK(balancer.reached() == "beta");
}

TEST_CASE("one server's address follows the VM") {
  const Balancer balancer;
  model::HaproxyChange change;
  change.socket = balancer.socket();
  change.backend = "one";
  change.server = "web1";
  change.addresses = {{"alpha", balancer.alpha.address()}, {"beta", balancer.beta.address()}};
  const auto haproxy = redirector(change);
  CHECK(haproxy->look() == "one/web1 is at " + balancer.alpha.address());
  REQUIRE(haproxy->redirect(to_beta()).ok);
  CHECK(balancer.state("one", "web1").place() == balancer.beta.address());
  REQUIRE(haproxy->redirect(to_beta()).ok);
  REQUIRE(haproxy->redirect(to_alpha()).ok);
  CHECK(balancer.state("one", "web1").place() == balancer.alpha.address());
}

TEST_CASE("what HAProxy does not know, or no host is told of, changes nothing and says so") {
  const Balancer balancer;
  const auto before = balancer.ask("show servers state");
  const auto refused = [&](const model::HaproxyChange& change, const std::string& why) {
    const auto result = redirector(change)->redirect(to_beta());
    CHECK_FALSE(result.ok);
    CHECK(result.failure == Failure::hopeless);
    CHECK(contains(result.message, why));
  };
  model::HaproxyChange change = servers_at(balancer.socket());
  change.backend = "wbe";
  refused(change, "has no backend wbe");
  change = servers_at(balancer.socket());
  change.servers["beta"] = "web-bb";
  refused(change, "backend web has no server web-bb; did you mean \"web-b\"?");
  CHECK_THROWS_WITH(redirector(change)->look(), Catch::Contains("web-bb"));
  change = servers_at(balancer.socket());
  change.servers.erase("beta");
  refused(change, "its servers says nothing for host beta");
  change = servers_at(balancer.socket());
  change.backend = "web; disable server web/web-a";
  refused(change, "is no name of a backend or server");
  change = {balancer.socket(), "one", {}, "web1", {{"beta", "beta.example:80"}}, false};
  refused(change, "is no IP address with a port");
  const auto servers_of = [](const std::string& text) { return traffic::parse_server_states(text, "web").size(); };
  CHECK(servers_of(before) == servers_of(balancer.ask("show servers state")));
  CHECK(balancer.reached() == "alpha");
}

TEST_CASE("a socket without the level admin is told apart") {
  const Balancer balancer;
  const auto reader = redirector(servers_at(balancer.reader()));
  CHECK(contains(reader->redirect(to_beta()).message, "lets nothing be changed"));
  CHECK(test::error_of([&] { reader->look(); }).hint().find("level admin") != std::string::npos);
}

TEST_CASE("a HAProxy that is gone, or silent, is a failure that surely changed nothing") {
  Balancer balancer;
  const auto haproxy = redirector(servers_at(balancer.socket()));
  balancer.stop();
  const auto gone = haproxy->redirect(to_beta());
  CHECK(gone.failure == Failure::untouched);
  CHECK(contains(gone.message, "HAProxy: " + balancer.socket() + ": no connection"));
  CHECK_THROWS_AS(haproxy->look(), base::Error);

  const test::Listener silent;
  const auto start = base::system_clock().steady();
  const auto none = redirector(servers_at(silent.address()), base::Millis{300})->redirect(to_beta());
  CHECK(base::system_clock().steady() - start < base::Millis{3000});
  CHECK(contains(none.message, "does not answer in time"));
  CHECK(none.failure == Failure::untouched);
}

TEST_CASE("a new server that HAProxy's own check finds down is a failure") {
  const Balancer balancer;
  model::HaproxyChange change;
  change.socket = balancer.socket();
  change.backend = "web";
  change.server = "web-b";
  change.addresses = {{"beta", test::Listener().address()}};  // nothing is there
  balancer.ask("set server web/web-b state ready");
  REQUIRE(redirector(change)->redirect(to_beta()).ok != balancer.state("web", "web-b").maintenance);
  const bool down = base::wait_until(base::system_clock(), base::Millis{10'000}, base::Millis{20},
                                     [&] { return !balancer.state("web", "web-b").up; });
  REQUIRE(down);
  const auto result = redirector(change, base::Millis{2'000})->redirect(to_beta());
  CHECK_FALSE(result.ok);
  CHECK(result.failure == Failure::unsure);
  CHECK_THAT(result.message, Catch::Contains("web-b is held for down by its health check"));
}

TEST_CASE("a list of states that is none is refused, and lines of other backends are passed by") {
  const std::string head = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_port\n";
  const auto servers =
      traffic::parse_server_states(head + "3 web 1 a 10.0.0.1 2 4 80\n4 x 1 b 10.0.0.2 0 1 80\n", "web");
  REQUIRE(servers.size() == 1);
  CHECK(servers.at("a").up);
  CHECK_FALSE(servers.at("a").maintenance);
  for (const std::string& bad : {std::string(), std::string("Permission denied\n"), head + "3 web 1\n",
                                 head + "3 web 1 a 10.0.0.1 two 4 80\n", std::string("# be_name\nweb\n")}) {
    CAPTURE(bad);
    CHECK(test::kind_of([&] { traffic::parse_server_states(bad, "web"); }) == base::Kind::invalid);
  }
}
