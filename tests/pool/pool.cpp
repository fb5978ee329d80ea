// SPDX-License-Identifier: Apache-2.0
#include "pool/pool.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>
#include <set>

namespace {

using namespace umbra;
using namespace umbra::pool;
using model::ByteCount;
using model::Flavour;
using model::HostName;
using ports::PoolRow;

constexpr std::uint64_t gib = 1u << 30;

Flavour flavour(const std::string& name, const std::string& host, unsigned gibs, unsigned count) {
  return {name, HostName(host), ByteCount{gibs * gib}, 2, {ByteCount{20 * gib}}, count};
}

PoolRow row(const std::string& id, const std::string& flavour_name, const std::string& host) {
  return {model::ShadowId(id), flavour_name, HostName(host)};
}

Claim claim(const std::string& vm, unsigned gibs) {
  return {model::VmName(vm), HostName("beta"), ByteCount{gibs * gib}, 2, {ByteCount{20 * gib}}};
}

std::vector<std::string> ids(const std::vector<PoolRow>& rows) {
  std::vector<std::string> out;
  for (const PoolRow& r : rows) out.push_back(r.id.get());
  return out;
}

const std::vector<Flavour> flavours{flavour("small", "beta", 2, 2), flavour("large", "beta", 8, 1)};

}  // namespace

TEST_CASE("an empty pool is filled to its counts") {
  const auto plan = fill_plan(flavours, {});
  REQUIRE(plan.create.size() == 2);
  CHECK(plan.create[0].count == 2);
  CHECK(plan.create[1].count == 1);
  CHECK(plan.drop.empty());
}

TEST_CASE("what is too many or configured no more is dropped") {
  const std::vector rows{row("d", "small", "beta"),  row("a", "small", "beta"), row("c", "small", "beta"),
                         row("g", "small", "gamma"), row("o", "old", "beta"),   row("l", "large", "beta")};
  const auto plan = fill_plan(flavours, rows);
  CHECK(ids(plan.drop) == std::vector<std::string>{"d", "g", "o"});
  CHECK(plan.create.empty());
}

TEST_CASE("a full pool needs nothing") {
  const std::vector rows{row("a", "small", "beta"), row("b", "small", "beta"), row("c", "large", "beta")};
  CHECK(fill_plan(flavours, rows).empty());
}

TEST_CASE("the same flavour on two hosts is counted apart") {
  const std::vector both{flavour("small", "beta", 2, 1), flavour("small", "gamma", 2, 1)};
  const std::vector rows{row("a", "small", "beta"), row("b", "small", "beta")};
  const auto plan = fill_plan(both, rows);
  CHECK(ids(plan.drop) == std::vector<std::string>{"b"});
  REQUIRE(plan.create.size() == 1);
  CHECK(plan.create[0].host == HostName("gamma"));
}

TEST_CASE("the shadow that fits with least waste is chosen") {
  const std::vector rows{row("l", "large", "beta"), row("s2", "small", "beta"), row("s1", "small", "beta")};
  CHECK(choose(flavours, rows, claim("web1", 2))->id.get() == "s1");
  CHECK(choose(flavours, rows, claim("web1", 4))->id.get() == "l");
  CHECK_FALSE(choose(flavours, rows, claim("web1", 16)));
}

TEST_CASE("a shadow of other disks, CPUs or of another host does not fit") {
  const std::vector rows{row("s1", "small", "beta")};
  auto c = claim("web1", 1);
  SECTION("larger disk") {
    c.disks = {ByteCount{21 * gib}};
  }
  SECTION("smaller disk") {
    c.disks = {ByteCount{19 * gib}};
  }
  SECTION("two disks") {
    c.disks.push_back(ByteCount{gib});
  }
  SECTION("more CPUs") {
    c.vcpus = 3;
  }
  SECTION("another host") {
    c.host = HostName("gamma");
  }
  CHECK_FALSE(choose(flavours, rows, c));
}

TEST_CASE("laws of the pool") {
  CHECK(rc::check("after a plan is carried out nothing is left to do", [] {
    std::vector<PoolRow> rows;
    const int count = *rc::gen::inRange(0, 8);
    for (int i = 0; i < count; ++i) {
      rows.push_back(row("id" + std::to_string(i), *rc::gen::element<std::string>("small", "large", "old"),
                         *rc::gen::element<std::string>("beta", "gamma")));
    }
    const auto plan = fill_plan(flavours, rows);
    std::set<std::string> gone;
    for (const PoolRow& r : plan.drop) gone.insert(r.id.get());
    std::erase_if(rows, [&](const PoolRow& r) { return gone.contains(r.id.get()); });
    int fresh = 0;
    for (const Flavour& f : plan.create) {
      for (unsigned i = 0; i < f.count; ++i) rows.push_back(row("new" + std::to_string(fresh++), f.name, f.host.get()));
    }
    RC_ASSERT(fill_plan(flavours, rows).empty());
  }));
}
