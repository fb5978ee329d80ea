// SPDX-License-Identifier: Apache-2.0
#include "predict/precedents.hpp"

#include <rapidcheck.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

namespace {

using namespace umbra::predict;

/// So coarse that many are equally near.
std::vector<Precedent> some(std::size_t count) {
  const auto tenths = rc::gen::map(rc::gen::inRange(0, 11), [](int n) { return static_cast<float>(n) / 10; });
  return *rc::gen::container<std::vector<Precedent>>(
      count, rc::gen::map(rc::gen::tuple(tenths, tenths, tenths, tenths), [](const auto& t) {
        return Precedent{std::get<0>(t), std::get<1>(t), std::get<2>(t), std::get<3>(t)};
      }));
}

std::vector<float> sorted(std::vector<float> values) {
  std::sort(values.begin(), values.end());
  return values;
}

}  // namespace

TEST_CASE("the nearest precedents are those that sorting all by their distance gives") {
  CHECK(rc::check("of 0 to 300", [] {
    const std::vector<Precedent> all = some(*rc::gen::inRange<std::size_t>(0, 300));
    const Precedent origin{0.5f, 0.4f, 0.7f, 0};
    std::vector<std::pair<float, float>> near;
    for (const Precedent& p : all) {
      near.emplace_back(std::abs(p.value - 0.5f) + std::abs(p.mean - 0.4f) / 2 + std::abs(p.highest - 0.7f) / 2,
                        p.rise);
    }
    std::sort(near.begin(), near.end());
    const auto found = nearest(all, origin);
    RC_ASSERT(found[0].count == 12u);
    RC_ASSERT(found[1].count == 50u);
    for (const Nearest& one : found) {
      if (all.size() < one.count) {
        RC_ASSERT(one.rises.empty());
        RC_ASSERT(std::isnan(one.distance));
        continue;
      }
      std::vector<float> rises;
      for (std::size_t i = 0; i < one.count; ++i) rises.push_back(near[i].second);
      RC_ASSERT(one.rises == sorted(rises));
      RC_ASSERT(one.distance == static_cast<double>(near[one.count - 1].first));
    }
  }));
}

TEST_CASE("own rises are percentiles of the newest 288, from 13 on") {
  CHECK(rc::check("against sorting", [] {
    const std::vector<Precedent> all = some(*rc::gen::inRange<std::size_t>(0, 400));
    std::vector<float> rises;
    for (std::size_t i = all.size() - std::min<std::size_t>(all.size(), 288); i < all.size(); ++i)
      rises.push_back(all[i].rise);
    rises = sorted(rises);
    const auto told = own_rises(all);
    for (std::size_t i = 0; i < told.size(); ++i) {
      const auto rank = rises.size() * static_cast<std::size_t>(own_percents[i]) / 100;
      const bool enough = rises.size() > 12;
      RC_ASSERT((enough ? told[i] == static_cast<double>(rises[rank]) : std::isnan(told[i])));
    }
  }));
}
