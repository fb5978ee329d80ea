// SPDX-License-Identifier: Apache-2.0
// What is typed and what lies in key files. The connections themselves: tests/cli/tls-test.

#include <catch2/catch.hpp>

#include "adapters/tls/key_file.hpp"
#include "adapters/tls/tls.hpp"
#include "fakes/thrown.hpp"

using namespace umbra;

TEST_CASE("an address is a host or an address with a port") {
  for (const std::string text :
       {"beta:7900", "10.0.0.2:0", "[fd00::2]:7900", "tls://beta:7900", "tls://[::1]:1/", ":7900"}) {
    INFO(text);
    const tls::Address address = base::parse_address(text);
    CHECK(base::parse_address(address.to_string()).host == address.host);
  }
  CHECK(base::parse_address("tls://[fd00::2]:7900").host == "fd00::2");
  CHECK(base::parse_address("[fd00::2]:7900").to_string() == "[fd00::2]:7900");
  for (const std::string text : {"", "beta", "beta:", "beta:x", "beta:70000", "beta:123456", "fd00::2:7900", "a/b:1",
                                 "tls://", "http://beta:80", "user@beta:1", "[::1:80"}) {
    INFO(text);
    CHECK(test::error_of([&] { base::parse_address(text); }).kind() == base::Kind::usage);
  }
}

TEST_CASE("a key file holds named keys, or bytes alone") {
  const std::string hex(32, 'a');
  const auto named = tls::parse_keys("web:" + hex + "\n\nfd00::2:" + hex + "\r\n", "f");
  REQUIRE(named.size() == 2);
  CHECK(named[0].identity == "web");
  CHECK(named[0].key == std::vector<unsigned char>(16, 0xaa));
  CHECK(named[1].identity == "fd00::2");
  const std::string bytes("\0:\xff 0123456789abcdef", 20);
  const auto plain = tls::parse_keys(bytes, "f");
  REQUIRE(plain.size() == 1);
  CHECK(plain[0].key.size() == bytes.size());
  CHECK(plain[0].identity == "umbra");
}

TEST_CASE("one bad line among keys is named, and makes no other key of the file") {
  const std::string good = "web:" + std::string(32, 'a') + "\n";
  for (const std::string bad : {"other 5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a", "other:5a5", "other:", ":5a5a", "# a comment",
                                "ot her:"
                                "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"}) {
    INFO(bad);
    const base::Error error = test::error_of([&] { tls::parse_keys(good + "\n" + bad + "\n" + good, "f"); });
    CHECK(error.kind() == base::Kind::refused);
    CHECK_THAT(error.message(), Catch::Contains("line 3 of f"));
  }
}

TEST_CASE("keys that are short, long, or twice of one name are refused") {
  const std::string hex(32, 'a');
  for (const std::string& content :
       {std::string(), std::string("web:") + hex.substr(2), std::string(15, 'x'), std::string(257, 'x'),
        "web:" + std::string(514, 'a'), "web:" + hex + "\nweb:" + hex}) {
    INFO(content);
    CHECK(test::error_of([&] { tls::parse_keys(content, "f"); }).kind() == base::Kind::refused);
  }
}

TEST_CASE("TLS is by certificates or by a key, whole and not both") {
  const auto complete = [](const model::TlsFiles& files) { tls::check_complete(files, "how"); };
  CHECK_NOTHROW(complete({.ca = "a", .cert = "b", .key = "c"}));
  CHECK_NOTHROW(complete({.ca = "a", .cert = "b", .key = "c", .crl = "d"}));
  CHECK_NOTHROW(complete({.key_file = "k"}));
  for (const model::TlsFiles& files :
       {model::TlsFiles{}, model::TlsFiles{.ca = "a"}, model::TlsFiles{.cert = "b", .key = "c"},
        model::TlsFiles{.ca = "a", .cert = "b", .key = "c", .key_file = "k"},
        model::TlsFiles{.crl = "d", .key_file = "k"}})
    CHECK(test::error_of([&] { complete(files); }).hint() == "how");
}
