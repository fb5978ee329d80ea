// SPDX-License-Identifier: Apache-2.0
#include "model/precopy.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>

#include "base/error.hpp"

namespace {

using namespace umbra;
using namespace umbra::model;

PrecopyInput input(double memory, double dirty, double bandwidth) {
  return {model::ByteCount{static_cast<std::uint64_t>(memory)}, {dirty}, {bandwidth}};
}

}  // namespace

TEST_CASE("an idle guest takes one pass and the fixed blackout") {
  const auto r = precopy(input(1e9, 0, 1e8));
  CHECK(r.rounds == 1);
  CHECK(r.converges);
  CHECK(r.blackout.count() == Approx(0.1));
  CHECK(r.total.count() == Approx(10.1));
  CHECK(r.bytes.value == 1000000000);
}

TEST_CASE("rounds shrink by the ratio of dirty rate to bandwidth until the rest fits into the blackout") {
  // 1000 MB at 100 MB/s, dirtying 50 MB/s: 10 s, 5 s, 2.5 s, 1.25 s, 0.625 s, 0.3125 s; 0.156 s is left.
  const auto r = precopy(input(1e9, 5e7, 1e8));
  CHECK(r.rounds == 6);
  CHECK(r.converges);
  CHECK(r.blackout.count() == Approx(0.15625 + 0.1));
  CHECK(r.total.count() == Approx(19.6875 + 0.15625 + 0.1));
}

TEST_CASE("a guest that dirties faster than the link never converges") {
  const auto r = precopy(input(1e9, 2e8, 1e8));
  CHECK_FALSE(r.converges);
  CHECK(r.rounds == 30);
  CHECK(r.blackout.count() == Approx(10.1));
  CHECK(r.total.count() == Approx(310.1));
}

TEST_CASE("no bandwidth is an error") {
  CHECK_THROWS_AS(precopy(input(1e9, 0, 0)), base::Error);
  CHECK_THROWS_AS(precopy(input(1e9, 0, -1)), base::Error);
}

TEST_CASE("a convergent migration keeps the downtime limit, and more dirtying never makes it shorter") {
  CHECK(rc::check([] {
    const double memory = *rc::gen::inRange(1, 64000) * 1e6;
    const double dirty = *rc::gen::inRange(0, 2000) * 1e6;
    const double bandwidth = *rc::gen::inRange(1, 2000) * 1e6;
    const auto r = precopy(input(memory, dirty, bandwidth));
    if (r.converges) RC_ASSERT(r.blackout.count() <= 0.4 + 1e-9);
    RC_ASSERT(r.total.count() >= memory / bandwidth);
    RC_ASSERT(precopy(input(memory, dirty * 1.5 + 1e6, bandwidth)).total.count() >= r.total.count() - 0.3 - 1e-6);
  }));
}
