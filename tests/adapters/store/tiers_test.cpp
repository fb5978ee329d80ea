// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/tiers.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>

#include <map>

#include "adapters/store/rows.hpp"
#include "adapters/store/samples.hpp"

using namespace umbra;
using namespace umbra::test;
using model::Resource;
using store::coarser;

namespace {

constexpr base::Millis five_minutes{300'000};

}  // namespace

TEST_CASE("a grain has the mean and the highest of its samples, and stands at its end") {
  const std::vector samples{sample("u", 60, 0.2).sample, sample("u", 120, 0.9).sample, sample("u", 300, 0.4).sample,
                            sample("u", 301, 0.7).sample};
  const auto grains = coarser(samples, five_minutes);
  REQUIRE(grains.size() == 2);
  CHECK(grains[0].at == at(300));  // what is sampled at 300 tells of the time before it
  CHECK(grains[0][Resource::cpu] == 0.5);
  CHECK(grains[0].peak(Resource::cpu) == 0.9);
  CHECK_FALSE(grains[0].peak(Resource::memory));
  CHECK(grains[1].at == at(600));
  CHECK(grains[1].peak(Resource::cpu) == 0.7);
}

TEST_CASE("no grain tells of anything after its instant, and none is lost") {
  CHECK(rc::check("each sample lies in the grain that ends at or after it", [] {
    const auto samples = *any_samples(at(0), false);
    std::map<base::Instant, double> highest;
    for (const model::Sample& s : samples) {
      if (!s[Resource::cpu]) continue;
      auto& cell = highest.try_emplace(store::grid_start(s.at, five_minutes) + five_minutes, 0.0).first->second;
      cell = std::max(cell, *s[Resource::cpu]);
    }
    const auto grains = coarser(samples, five_minutes);
    std::size_t known = 0;
    for (std::size_t i = 0; i < grains.size(); ++i) {
      RC_ASSERT((i == 0 || grains[i - 1].at < grains[i].at));
      if (!grains[i][Resource::cpu]) continue;
      ++known;
      RC_ASSERT(highest.at(grains[i].at) == *grains[i].peak(Resource::cpu));
      RC_ASSERT(*grains[i][Resource::cpu] <= *grains[i].peak(Resource::cpu));
    }
    RC_ASSERT(known == highest.size());
  }));
}

TEST_CASE("maxima outlive every further step") {
  CHECK(rc::check("the hours made of grains have the maxima of the samples", [] {
    const auto samples = *any_samples(at(0), false);
    const auto in_steps = coarser(coarser(samples, five_minutes), store::hour);
    const auto at_once = coarser(samples, store::hour);
    RC_ASSERT(in_steps.size() == at_once.size());
    for (std::size_t i = 0; i < at_once.size(); ++i) {
      RC_ASSERT(in_steps[i].at == at_once[i].at);
      for (const Resource r : model::all_resources) RC_ASSERT(in_steps[i].peak(r) == at_once[i].peak(r));
    }
  }));
}

TEST_CASE("the grid owns its ends, before 1970 too") {
  CHECK(store::grid_start(at(300), five_minutes) == at(0));
  CHECK(store::grid_start(at(301), five_minutes) == at(300));
  CHECK(store::grid_start(at(0), five_minutes) == at(-300));
  CHECK(store::grid_start(at(-300), five_minutes) == at(-600));
}

TEST_CASE("two runs of samples become one, and the newer word holds") {
  const std::vector older{sample("u", 60, 0.1).sample, sample("u", 180, 0.1).sample};
  const std::vector newer{sample("u", 120, 0.2).sample, sample("u", 180, 0.2).sample};
  const auto both = store::merged(older, newer);
  REQUIRE(both.size() == 3);
  CHECK(both[1].at == at(120));
  CHECK(both[2][Resource::cpu] == 0.2);
}
