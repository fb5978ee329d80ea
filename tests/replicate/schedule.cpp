// SPDX-License-Identifier: Apache-2.0
#include "replicate/schedule.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>

#include <cmath>

namespace umbra::replicate {
namespace {

using base::Seconds;

const base::Instant ten = *base::parse_rfc3339("2026-11-24T10:00:00Z");

PassFacts facts(double duration, double since, double rpo) {
  PassFacts f;
  f.taken_at = ten;
  f.duration = Seconds(duration);
  f.finished = ten + base::Millis(static_cast<std::int64_t>(duration * 1000));
  f.since_last = Seconds(since);
  f.changed = {10 << 20};
  f.sent = {5 << 20};
  f.rpo = Seconds(rpo);
  return f;
}

double wait(const PassFacts& f) {
  return Seconds(next_due(f).at - f.taken_at).count();
}

PassFacts any_facts() {
  const double duration = *rc::gen::inRange(0, 2000) / 10.0;
  const double since = *rc::gen::inRange(1, 20000) / 10.0;
  PassFacts f = facts(duration, since, *rc::gen::inRange(5, 3600));
  f.every = Seconds(*rc::gen::inRange(1, 600));
  f.sent = {*rc::gen::inRange<std::uint64_t>(0, 1ull << 32)};
  if (*rc::gen::arbitrary<bool>())
    f.bandwidth = model::ByteRate{static_cast<double>(*rc::gen::inRange(1000, 100000000))};
  return f;
}

}  // namespace

TEST_CASE("an idle guest is replicated at the last look before its RPO runs out") {
  CHECK(wait(facts(1, 300, 300)) == Approx(239).margin(0.1));
}

TEST_CASE("a guest that keeps the line busy half of the time gets its passes earlier") {
  CHECK(wait(facts(30, 60, 300)) == Approx(140).margin(0.1));
}

TEST_CASE("a first pass makes it half the RPO") {
  PassFacts f = facts(10, 0, 300);
  f.since_last.reset();
  CHECK(wait(f) == Approx(90));
  CHECK(next_due(f).reason.find("not known") != std::string::npos);
}

TEST_CASE("an RPO that can't be met is said, and passes still keep their distance") {
  const PassFacts f = facts(120, 60, 60);
  const Due due = next_due(f);
  CHECK_FALSE(due.meets_rpo);
  CHECK(due.reason.find("can't be met") != std::string::npos);
  CHECK(due.at == f.finished + base::Millis(5000));
}

TEST_CASE("an RPO no longer than the time between two looks may be missed, which is said; looks more often meet it") {
  PassFacts f = facts(1, 60, 60);
  CHECK_FALSE(next_due(f).meets_rpo);
  CHECK(next_due(f).reason.find("may be missed") != std::string::npos);
  CHECK(next_due(f).reason.find("every 1m") != std::string::npos);
  f.every = Seconds(20);
  CHECK(next_due(f).meets_rpo);
  CHECK(wait(f) == Approx(39).margin(0.1));
}

TEST_CASE("a lower bandwidth than the last pass had counts") {
  PassFacts f = facts(1, 100, 300);
  f.bandwidth = model::ByteRate{(5 << 20) / 50.0};  // what was sent would take 50 s
  CHECK(wait(f) == Approx(140).margin(0.1));
}

TEST_CASE("laws of the schedule") {
  CHECK(rc::check("between five seconds after the last pass and the RPO", [] {
    const PassFacts f = any_facts();
    const Due due = next_due(f);
    RC_ASSERT(due.at >= f.finished + base::Millis(5000));
    RC_ASSERT(due.at <= std::max(f.taken_at + base::Millis(static_cast<std::int64_t>(f.rpo.count() * 1000)),
                                 f.finished + base::Millis(5000)));
    RC_ASSERT(!due.reason.empty());
  }));
  CHECK(rc::check(
      "a pass of the same cost, begun at the next look, ends within the RPO, or it is said that it does not", [] {
        const PassFacts f = any_facts();
        const Due due = next_due(f);
        // The looks are `every` apart, from any moment on.
        const double phase = f.every.count() * *rc::gen::inRange(0, 100) / 100;
        const double after = Seconds(due.at - ten).count();
        const double look = phase + f.every.count() * std::ceil((after - phase) / f.every.count());
        double cost = f.duration.count();
        if (f.bandwidth) cost = std::max(cost, static_cast<double>(f.sent.value) / f.bandwidth->value);
        RC_ASSERT(look >= after - 0.01);
        if (due.meets_rpo) RC_ASSERT(look + cost <= f.rpo.count() + 0.01);
      }));
  CHECK(rc::check("a pass that took longer is never followed later", [] {
    PassFacts f = any_facts();
    const double before = wait(f);
    f.duration += Seconds(*rc::gen::inRange(0, 1000) / 10.0);  // `finished` stays, the bound with it
    RC_ASSERT(wait(f) <= before + 0.001);
  }));
  CHECK(rc::check("more bandwidth never makes it earlier", [] {
    PassFacts f = any_facts();
    f.bandwidth = model::ByteRate{static_cast<double>(*rc::gen::inRange(1000, 1000000))};
    const double before = wait(f);
    f.bandwidth->value *= 2;
    RC_ASSERT(wait(f) >= before - 0.001);
  }));
}

}  // namespace umbra::replicate
