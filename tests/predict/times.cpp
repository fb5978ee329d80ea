// SPDX-License-Identifier: Apache-2.0
#include "predict/times.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

namespace {

using namespace umbra::predict;
using umbra::model::Quantiles;

constexpr double window_s = 1800;

Verified took(double time, double first_s, bool above = false, Quantiles said = {}) {
  Verified v;
  v.time = time;
  v.outcome = {first_s > 0, !above, 0.95, first_s, above};
  v.first_s = said;
  return v;
}

bool same(const Quantiles& a, const Quantiles& b) {
  return a.p10 == b.p10 && a.p50 == b.p50 && a.p90 == b.p90;
}

}  // namespace

TEST_CASE("times are scored where saturation came, onsets apart, beside what is given") {
  const std::vector<Verified> v{took(0, 600, false, {300, 500, 900}), took(300, 1200, false, {100, 200, 400}),
                                took(600, 0, false, {300, 500, 900}),  // none came
                                took(900, 300, true, {300, 300, 300})};
  const std::vector<Quantiles> plain(v.size(), {180, 900, 1620});
  const Times times = time_scores(v, plain);
  CHECK(times.all.saturations == 3);
  CHECK(times.all.coverage == Approx(2.0 / 3));
  CHECK(times.all.median_error_s == 100);
  CHECK(times.onsets.saturations == 2);
  CHECK(times.onsets.coverage == 0.5);
  CHECK(times.onsets.median_error_s == 1000);
  const double near = 0.1 * 300 + 0.5 * 100 + 0.1 * 300;
  const double far = 0.1 * 1100 + 0.5 * 1000 + 0.9 * 800;
  CHECK(times.onsets.pinball_s == Approx((near + far) / 2));
  const double plainly = 0.1 * 420 + 0.5 * 300 + 0.1 * 1020 + 0.1 * 1020 + 0.5 * 300 + 0.1 * 420;
  CHECK(*times.onsets.pinball_ratio == Approx((near + far) / plainly));
}

TEST_CASE("where nothing saturates there is no time to tell") {
  const Times times = time_scores(std::vector{took(0, 0)}, std::vector<Quantiles>(1));
  CHECK(times.all.saturations == 0);
  CHECK_FALSE(times.all.pinball_ratio);
}

TEST_CASE("plain times are the quantiles of those whose windows have ended, of the same side of the threshold") {
  std::vector<Verified> v;
  for (int i = 0; i < 30; ++i) {
    v.push_back(took(300.0 * i, 60.0 * (1 + i % 21)));
    v.push_back(took(300.0 * i, 300, true));
  }
  v.push_back(took(300.0 * 20 + window_s - 1, 60));
  v.push_back(took(300.0 * 20 + window_s, 60));
  v.push_back(took(300.0 * 20 + window_s, 60, true));
  const auto plain = plain_times(v, window_s);
  CHECK(same(plain.front(), {180, 900, 1620}));  // nothing is known yet
  CHECK(same(plain[60], {60 * 2, 60 * 10, 60 * 18}));
  CHECK(same(plain[61], {60 * 3, 60 * 11, 60 * 19}));
  CHECK(same(plain[62], {300, 300, 300}));
}

TEST_CASE("plain times look at nothing later, and VMs may come in any order") {
  std::vector<Verified> v;
  for (int vm = 0; vm < 3; ++vm) {
    for (int i = 0; i < 50; ++i) v.push_back(took(300.0 * i + vm, 60.0 + (37 * i + 11 * vm) % 1700));
  }
  const auto whole = plain_times(v, window_s);
  std::vector<Verified> known;
  std::vector<Quantiles> expected;
  for (std::size_t i = v.size(); i-- > 0;) {
    if (v[i].time > 9000) continue;
    known.push_back(v[i]);
    expected.push_back(whole[i]);
  }
  const auto cut = plain_times(known, window_s);
  CHECK(std::ranges::equal(cut, expected, same));
}
