// SPDX-License-Identifier: Apache-2.0
#include "model/config.hpp"

#include <catch2/catch.hpp>

#include "model/units.hpp"

using namespace umbra::model;

TEST_CASE("two hosts get the slower of their links, or the VM's own limit where that is lower") {
  const Config config;
  HostConfig a;
  HostConfig b;
  VmPolicy policy;
  CHECK(config.rate_between(a, b, policy) == usual_link);
  a.link = ByteRate{1.25e9};
  CHECK(config.rate_between(a, b, policy) == usual_link);  // nothing is known of the other's
  b.link = ByteRate{5e8};
  CHECK(config.rate_between(a, b, policy) == ByteRate{5e8});
  CHECK(config.rate_between(b, a, policy) == ByteRate{5e8});
  policy.bandwidth = ByteRate{1e8};
  CHECK(config.rate_between(a, b, policy) == ByteRate{1e8});
  policy.bandwidth = ByteRate{9e9};
  CHECK(config.rate_between(a, b, policy) == ByteRate{5e8});
}
