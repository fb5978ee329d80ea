// SPDX-License-Identifier: Apache-2.0
// Probes, against servers of python3's own http.server and plain sockets.
#include <catch2/catch.hpp>

#include "adapters/traffic/traffic.hpp"
#include "base/error.hpp"
#include "folder.hpp"
#include "servers.hpp"

using namespace umbra;
using test::Folder;

namespace {

constexpr base::Millis long_enough{10'000};

ports::HookResult check(const model::ProbeWay& way, base::Millis deadline) {
  return traffic::probe(way, deadline, base::system_clock())->check("{}");
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a command is repeated until it succeeds or the deadline has passed") {
  Folder folder;
  const std::string flag = folder.at("tries");
  const std::string third =
      folder.script("third", "cat >/dev/null; echo x >> " + flag + "; [ $(wc -l < " + flag + ") -ge 3 ]");
  CHECK(check(base::Argv{third}, long_enough).ok);
  const auto failed = check(base::Argv{"false"}, base::Millis{300});
  CHECK_FALSE(failed.ok);
  CHECK(contains(failed.message, "false exited with 1 (looked for 0.3s)"));
  CHECK(contains(check(base::Argv{"no-such-program-of-umbra"}, base::Millis{300}).message, "is not on the PATH"));
}

TEST_CASE("a TCP probe succeeds once something listens there") {
  const test::Listener listener;
  const model::TcpProbe there{listener.address()};
  CHECK(check(there, long_enough).ok);
  CHECK(contains(traffic::probe(there, long_enough, base::system_clock())->look(), "takes connections"));

  const std::string free = test::Listener().address();  // nothing is there any more
  const auto refused = check(model::TcpProbe{free}, base::Millis{300});
  CHECK_FALSE(refused.ok);
  CHECK(contains(refused.message, free + ": no connection: Connection refused"));
  CHECK_THROWS_AS(traffic::probe(model::TcpProbe{free}, long_enough, base::system_clock())->look(), base::Error);
  CHECK_FALSE(check(model::TcpProbe{"no-such-host.invalid:80"}, base::Millis{300}).ok);
}

TEST_CASE("a TCP probe goes on looking while nothing answers yet") {
  const std::string address = test::Listener().address();
  std::optional<test::Listener> late;
  const auto started = base::system_clock().steady();
  class Clock final : public base::Clock {
   public:
    explicit Clock(std::function<void()> act) : m_act(std::move(act)) {}
    base::Instant now() const override { return base::system_clock().now(); }
    base::Millis steady() const override { return base::system_clock().steady(); }
    void pause(base::Millis) override { m_act(); }

   private:
    std::function<void()> m_act;
  } clock([&] {
    if (!late) late.emplace(address);
  });  // between the first look and the second
  CHECK(traffic::probe(model::TcpProbe{address}, long_enough, clock)->check("{}").ok);
  CHECK(base::system_clock().steady() - started < base::Millis{5000});
}

TEST_CASE("an HTTP probe goes by the status") {
  const test::WebServer server;  // python's: 200 for a file, 404 for none, 501 for other methods
  CHECK(check(model::HttpProbe{server.url("/"), 0, {}}, long_enough).ok);
  const auto absent = check(model::HttpProbe{server.url("/absent"), 0, {}}, base::Millis{300});
  CHECK_FALSE(absent.ok);
  CHECK(contains(absent.message, "answers with 404, not with a status below 400"));
  CHECK(check(model::HttpProbe{server.url("/absent"), 404, {}}, long_enough).ok);
  const auto other = check(model::HttpProbe{server.url("/"), 204, {}}, base::Millis{300});
  CHECK(contains(other.message, "answers with 200, not with 204"));
}

TEST_CASE("a server that takes the connection and says nothing is looked at twice within the deadline, and fails") {
  const test::Listener silent;
  const auto start = base::system_clock().steady();
  const auto result = check(model::HttpProbe{"http://" + silent.address() + "/", 0, {}}, base::Millis{3000});
  CHECK_FALSE(result.ok);
  CHECK(base::system_clock().steady() - start < base::Millis{6000});
  CHECK(silent.connections() >= 2);
}
