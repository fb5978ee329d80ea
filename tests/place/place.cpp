// SPDX-License-Identifier: Apache-2.0
#include "place/place.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>

#include "base/error.hpp"

namespace {

using namespace umbra;
using namespace umbra::place;
using model::ByteCount;
using model::HostName;

constexpr std::uint64_t gib = 1u << 30;

Need need() {
  Need n;
  n.vm = model::VmName("web1");
  n.host = HostName("alpha");
  n.memory = ByteCount{4 * gib};
  n.vcpus = 2;
  n.cpu_peak = {0.9};
  n.networks = {"br0"};
  n.disk = ByteCount{20 * gib};
  return n;
}

Candidate host(const std::string& name) {
  Candidate c;
  c.host = HostName(name);
  c.facts.name = c.host;
  c.facts.cpus = 8;
  c.facts.cpu_used = {0.3};
  c.facts.memory = ByteCount{64 * gib};
  c.facts.memory_free = ByteCount{32 * gib};
  c.facts.networks = {"br0", "default"};
  c.facts.images_free = ByteCount{100 * gib};
  c.facts.cpu_model = "EPYC-Rome";
  return c;
}

std::string reason(const Need& n, const Candidate& c) {
  return objection(n, c, {}).value_or("");
}

}  // namespace

TEST_CASE("what was placed on a host before is not there twice") {
  Candidate c = host("beta");
  for (int placed = 0; placed < 2; ++placed) {
    CHECK(reason(need(), c) == "");
    reserve(c, need());
  }
  CHECK(c.facts.memory_free.value == 24 * gib);
  CHECK(c.facts.images_free.value == 60 * gib);
  CHECK(reason(need(), c).starts_with("not enough CPU"));
}

TEST_CASE("a host is rejected with the exact reason") {
  auto n = need();
  auto c = host("beta");
  CHECK(reason(n, c) == "");
  SECTION("unreachable") {
    c.unreachable = "connection refused";
    CHECK(reason(n, c) == "it can't be asked: connection refused");
  }
  SECTION("the VM's own host") {
    n.host = c.host;
    CHECK(reason(n, c) == "the VM runs there already");
  }
  SECTION("memory") {
    c.facts.memory_free = ByteCount{10 * gib};
    CHECK(reason(n, c) == "not enough memory: 10.0 GiB free of 64.0 GiB, 6.4 GiB of them kept free, 4.0 GiB needed");
  }
  SECTION("CPU") {
    c.facts.cpu_used = {0.7};
    CHECK(reason(n, c) ==
          "not enough CPU: 1.6 of 8 CPUs would be free (70 % expected to be used, 10 % kept free), 1.8 needed");
  }
  SECTION("CPU model") {
    c.cpu = {false, "missing features: avx512f"};
    CHECK(reason(n, c) == "it can't run the VM's CPU: missing features: avx512f");
  }
  SECTION("network") {
    n.networks.push_back("dmz");
    CHECK(reason(n, c) == "no network \"dmz\"");
    c.networks["dmz"] = "br7";
    CHECK(reason(n, c) == "no network \"br7\", which stands for \"dmz\"");
    c.networks["dmz"] = "default";
    CHECK(reason(n, c) == "");
  }
  SECTION("GPU") {
    n.gpus = {"10de:20b5"};
    CHECK(reason(n, c) == "no free GPU of model 10de:20b5");
    c.facts.gpus = {"10de:20b5"};
    CHECK(reason(n, c) == "");
    n.gpus = {"10de:20b5", "10de:20b5"};
    CHECK(reason(n, c) == "not enough free GPUs of model 10de:20b5: 2 needed");
  }
  SECTION("disk") {
    c.facts.images_free = ByteCount{gib};
    CHECK(reason(n, c) == "not enough disk space: 1.0 GiB free for images, 20.0 GiB needed");
    c.facts.images_free = ByteCount{0};
    CHECK(reason(n, c) == "");
  }
}

TEST_CASE("the emptier host wins and every term is shown") {
  auto busy = host("beta");
  busy.facts.cpu_used = {0.5};
  busy.facts.memory_free = ByteCount{16 * gib};
  const std::vector<Candidate> hosts{host("alpha"), busy, host("gamma")};
  const auto p = place::place(need(), hosts, {});
  CHECK(p.host == HostName("gamma"));
  CHECK(p.alternatives == std::vector{HostName("beta")});
  CHECK(p.rejected.at(HostName("alpha")) == "the VM runs there already");
  CHECK(p.terms.size() == 6);
  for (const auto& [name, value] : p.terms) {
    INFO(name);
    CHECK(value >= 0);
    CHECK(value <= 1);
  }
  CHECK(p.terms.at("cpu_headroom") == Approx((8 * 0.6 - 1.8) / 8));
  CHECK(p.terms.at("memory_headroom") == Approx(28.0 / 64));
  CHECK(p.migration_s == Approx(4.0 * gib / 117e6));
}

TEST_CASE("ties go to the first by name, in whatever order the hosts come") {
  const std::vector<Candidate> one{host("gamma"), host("beta"), host("delta")};
  const std::vector<Candidate> other{host("delta"), host("gamma"), host("beta")};
  CHECK(place::place(need(), one, {}).host == HostName("beta"));
  CHECK(place::place(need(), other, {}).host == HostName("beta"));
  CHECK(place::place(need(), other, {}).alternatives == std::vector{HostName("delta"), HostName("gamma")});
}

TEST_CASE("no host left is an error with every host's reason") {
  auto full = host("beta");
  full.facts.memory_free = ByteCount{0};
  const std::vector<Candidate> hosts{host("alpha"), full};
  try {
    place::place(need(), hosts, {});
    FAIL("placed");
  } catch (const base::Error& e) {
    CHECK(e.kind() == base::Kind::not_found);
    CHECK(
        std::string(e.what()) ==
        "no host can take \"web1\": alpha: the VM runs there already; beta: not enough memory: 0 MiB free of 64.0 GiB, "
        "6.4 GiB of them kept free, 4.0 GiB needed");
    CHECK_FALSE(e.hint().empty());
  }
  CHECK_THROWS_AS(place::place(need(), {}, {}), base::Error);
}

TEST_CASE("the VM's own host alone is refused: both ends would be one") {
  try {
    place::place(need(), std::vector<Candidate>{host("alpha")}, {});
    FAIL("it was placed on its own host");
  } catch (const base::Error& e) {
    CHECK(e.kind() == base::Kind::refused);
    CHECK(e.hint().find("--on") != std::string::npos);
  }
}

TEST_CASE("weights change the answer, and a wrong one is named") {
  auto quick = host("beta");
  quick.link = model::ByteRate{1.25e9};
  quick.facts.memory_free = ByteCount{12 * gib};
  const std::vector<Candidate> hosts{quick, host("gamma")};
  CHECK(place::place(need(), hosts, {{{"migration", 0}, {"network", 0}}, {0.1}}).host == HostName("gamma"));
  CHECK(place::place(need(), hosts, {{{"memory_headroom", 0}}, {0.1}}).host == HostName("beta"));
  CHECK_THROWS_WITH(place::place(need(), hosts, {{{"headrom", 1}}, {0.1}}),
                    "the weight \"headrom\" of [place] names no term");
  CHECK_THROWS_AS(place::place(need(), hosts, {{{"gpu", -1}}, {0.1}}), base::Error);
}

TEST_CASE("CPUs that are shared may be promised more than once") {
  auto c = host("beta");
  c.facts.cpu_used = {0.95};
  model::PlaceConfig config;
  CHECK(objection(need(), c, config));
  config.cpu_overcommit = 1.5;
  CHECK_FALSE(objection(need(), c, config));
}

TEST_CASE("a faster link shortens the first pass of a migration") {
  auto c = host("beta");
  const double usual = migration_time(need(), c).count();
  CHECK(usual == Approx(static_cast<double>(need().memory.value) / 117e6));
  c.link = model::ByteRate{1.17e9};
  CHECK(migration_time(need(), c).count() == Approx(usual / 10));
}

TEST_CASE("the need comes from the domain, its peak from the forecast") {
  model::Domain domain;
  domain.name = model::VmName("web1");
  domain.memory = ByteCount{gib};
  domain.vcpus = 4;
  domain.nics = {{"52:54:00:00:00:01", "br0"}};
  domain.gpus = {"10de:20b5"};
  const auto plain = need_of(domain, HostName("alpha"), std::nullopt, ByteCount{7});
  CHECK(plain.cpu_peak.value == 1);
  CHECK(plain.networks == std::vector<std::string>{"br0"});
  CHECK(plain.disk == ByteCount{7});
  model::Forecast forecast;
  forecast.resources[model::Resource::cpu].peak.p90 = 0.6;
  CHECK(need_of(domain, HostName("alpha"), forecast, {}).cpu_peak.value == 0.6);
}

namespace {

Candidate any_host(const std::string& name) {
  auto c = host(name);
  c.facts.cpu_used = {*rc::gen::inRange(0, 101) / 100.0};
  c.facts.memory_free = ByteCount{*rc::gen::inRange<std::uint64_t>(0, 64 * gib)};
  c.facts.images_free = ByteCount{*rc::gen::inRange<std::uint64_t>(0, 64 * gib)};
  if (*rc::gen::inRange(0, 5) == 0) c.unreachable = "no answer";
  if (*rc::gen::inRange(0, 5) == 0) c.cpu = {false, "no avx"};
  if (*rc::gen::inRange(0, 5) == 0) c.facts.networks.clear();
  if (*rc::gen::inRange(0, 3) == 0) c.facts.gpus = {"10de:20b5"};
  c.link = model::ByteRate{*rc::gen::inRange(1, 2000) * 1e6};
  return c;
}

}  // namespace

TEST_CASE("laws of any placement") {
  CHECK(rc::check("a rejected host is never chosen, and every host is told of once", [] {
    std::vector<Candidate> hosts;
    const int count = *rc::gen::inRange(1, 7);
    for (int i = 0; i < count; ++i) hosts.push_back(any_host("h" + std::to_string(i)));
    auto n = need();
    if (*rc::gen::arbitrary<bool>()) n.gpus = {"10de:20b5"};
    try {
      const auto p = place::place(n, hosts, {});
      RC_ASSERT(p.rejected.size() + p.alternatives.size() + 1 == hosts.size());
      RC_ASSERT(!p.rejected.contains(p.host));
      for (const auto& c : hosts) RC_ASSERT(objection(n, c, {}).has_value() == p.rejected.contains(c.host));
      RC_ASSERT((p.score >= 0 && p.score <= 1));
    } catch (const base::Error& e) {
      for (const auto& c : hosts) RC_ASSERT(objection(n, c, {}).has_value());
      const bool silent = std::ranges::all_of(hosts, [](const Candidate& c) { return c.unreachable.has_value(); });
      RC_ASSERT(e.kind() == (silent ? base::Kind::unreachable : base::Kind::not_found));
    }
  }));
  CHECK(rc::check("more memory never makes a host worse", [] {
    auto before = any_host("beta");
    auto after = before;
    const auto more = *rc::gen::inRange<std::uint64_t>(0, 64 * gib);
    after.facts.memory.value += more;
    after.facts.memory_free.value += more;
    const auto n = need();
    if (objection(n, before, {})) return;
    RC_ASSERT(!objection(n, after, {}));
    const std::vector<Candidate> was{before};
    const std::vector<Candidate> is{after};
    RC_ASSERT(place::place(n, is, {}).score >= place::place(n, was, {}).score);
  }));
}
