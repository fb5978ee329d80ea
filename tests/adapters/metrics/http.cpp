// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/http.hpp"

#include <unistd.h>
#include <catch2/catch.hpp>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "server.hpp"

namespace {

using namespace umbra;
using metrics::Http;
using metrics::HttpOptions;
using metrics::test::Server;

base::Kind kind_of(Http& http, const std::string& url) {
  try {
    http.get(url);
  } catch (const base::Error& e) {
    CHECK(e.message().find(url) != std::string::npos);
    return e.kind();
  }
  FAIL("no error");
  return base::Kind::internal;
}

}  // namespace

TEST_CASE("a GET gives the body, its query escaped") {
  const Server server("return 200, query['q'][0] + '|' + query['time'][0]");
  Http http;
  CHECK(http.get(server.url() + "/", {{"q", "a{b=\"c d\"} + x&y"}, {"time", "1.5"}}) == "a{b=\"c d\"} + x&y|1.5");
  CHECK(http.get(server.url() + "/", {{"q", "2"}, {"time", "3"}}) == "2|3");
}

TEST_CASE("the token is read from its file for each request") {
  const Server server("return 200, str(self.headers.get('Authorization'))");
  const auto file = std::filesystem::temp_directory_path() / ("umbra-token-" + std::to_string(getpid()));
  base::write_file_atomic(file, "first\n", 0600);
  HttpOptions options;
  options.token_file = file;
  Http http(options);
  CHECK(http.get(server.url()) == "Bearer first");
  base::write_file_atomic(file, "second", 0600);
  CHECK(http.get(server.url()) == "Bearer second");
  std::filesystem::remove(file);
  CHECK_THROWS_AS(http.get(server.url()), base::Error);
  Http without;
  CHECK(without.get(server.url()) == "None");
}

TEST_CASE("each failure has its kind") {
  const Server server("return int(path[1:]), 'told why'");
  Http http;
  CHECK(kind_of(http, server.url() + "/401") == base::Kind::refused);
  CHECK(kind_of(http, server.url() + "/403") == base::Kind::refused);
  CHECK(kind_of(http, server.url() + "/404") == base::Kind::not_found);
  CHECK(kind_of(http, server.url() + "/500") == base::Kind::io);
  CHECK(kind_of(http, server.url() + "/302") == base::Kind::io);
  CHECK(kind_of(http, "http://127.0.0.1:1/") == base::Kind::unreachable);
  CHECK(kind_of(http, "file:///etc/passwd") == base::Kind::usage);
  CHECK_THROWS_WITH(http.get(server.url() + "/400"), Catch::EndsWith("HTTP status 400: told why"));
  CHECK(http.get(server.url() + "/200") == "told why");
}

TEST_CASE("a server that is slow ends in a timeout, one that talks too long in an error") {
  const Server server("if path == '/slow': time.sleep(20)\nreturn 200, 'x' * 100000");
  HttpOptions options;
  options.timeout = base::Millis(300);
  options.most_bytes = 1000;
  Http http(options);
  CHECK(kind_of(http, server.url() + "/slow") == base::Kind::timeout);
  CHECK(kind_of(http, server.url() + "/long") == base::Kind::invalid);
}
