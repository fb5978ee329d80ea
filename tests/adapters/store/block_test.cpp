// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/block.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>

#include <limits>

#include "adapters/store/rows.hpp"
#include "adapters/store/samples.hpp"
#include "base/error.hpp"

using namespace umbra;
using namespace umbra::test;
using model::Resource;

namespace {

std::vector<model::Sample> round_trip(const std::vector<model::Sample>& samples, base::Instant start) {
  std::vector<model::Sample> back;
  store::unpack(store::pack(samples, start), start, back);
  return back;
}

}  // namespace

TEST_CASE("what is packed comes back the same, whatever is missing and however uneven its times") {
  CHECK(rc::check("unpack(pack(x)) == x", [] {
    const std::vector<model::Sample> samples = *any_samples(at(0), true);
    RC_ASSERT(same(round_trip(samples, at(0)), samples));
  }));
}

TEST_CASE("a threshold's fraction comes back exactly") {
  for (const double fraction : {0.9, 0.92, 0.7, 0.1, 0.00001, 1.0, 0.0}) CHECK(store::rounded(fraction) == fraction);
}

TEST_CASE("what can be no fraction of a capacity is not kept") {
  using limits = std::numeric_limits<double>;
  for (const double wrong : {limits::quiet_NaN(), limits::infinity(), -limits::infinity(), -0.001, 100.0, 1e300})
    CHECK_FALSE(store::rounded(wrong));
  CHECK(store::rounded(40.0) == 40.0);  // a link of 40 Gb/s, counted in one
}

TEST_CASE("a steady series takes about six bytes a sample") {
  std::vector<model::Sample> samples(60);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    samples[i].at = at(60 * static_cast<std::int64_t>(i + 1));
    for (const Resource r : {Resource::cpu, Resource::memory, Resource::net, Resource::disk})
      samples[i][r] = 0.5 + 0.00001 * static_cast<double>(i % 7);
  }
  CHECK(store::pack(samples, at(0)).size() < 60 * 6);
}

TEST_CASE("a block that was cut or changed is refused, or gives samples that a history could hold") {
  CHECK(rc::check("no bytes do harm", [] {
    std::string block = store::pack(*any_samples(at(0), true), at(0));
    if (*rc::gen::arbitrary<bool>()) {
      block.resize(*rc::gen::inRange<std::size_t>(0, block.size()));
    } else {
      block[*rc::gen::inRange<std::size_t>(0, block.size())] = *rc::gen::arbitrary<char>();
    }
    std::vector<model::Sample> got;
    try {
      store::unpack(block, at(0), got);
    } catch (const base::Error& e) {
      RC_ASSERT(e.kind() == base::Kind::corrupt);
      return;
    }
    for (std::size_t i = 0; i < got.size(); ++i) {
      RC_ASSERT((i == 0 || got[i - 1].at < got[i].at));
      for (const auto& value : got[i].values) RC_ASSERT((!value || (*value >= 0 && *value <= 100)));
    }
  }));
}

TEST_CASE("a block cut short is told as damage") {
  std::string block = store::pack(std::vector{sample("u", 60, 0.5).sample}, at(0));
  block.pop_back();
  std::vector<model::Sample> got;
  CHECK_THROWS_WITH(store::unpack(block, at(0), got), "a block of the history is damaged: it ends too soon");
}

TEST_CASE("a block whose time stands still is told as damage") {
  const std::string block("\x02\x3c\x00\x00\x00\x00\x00\x00\x00", 9);  // two samples, 60 ms and no step, no values
  std::vector<model::Sample> got;
  CHECK_THROWS_WITH(store::unpack(block, at(0), got), "a block of the history is damaged: its times do not rise");
}
