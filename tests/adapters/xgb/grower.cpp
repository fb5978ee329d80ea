// SPDX-License-Identifier: Apache-2.0
#include "adapters/xgb/grower.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/error.hpp"

namespace {

using namespace umbra;

/// One column x in 0..1, and a label of each row.
struct Lesson {
  std::vector<float> x;
  std::vector<float> label;
  ports::Matrix matrix() const { return {x, label.size(), 1}; }
};

/// Half of the labels are 0, half are x.
Lesson halves() {
  Lesson lesson;
  for (int i = 0; i < 4000; ++i) {
    lesson.x.push_back(static_cast<float>(i % 100) / 100);
    lesson.label.push_back(i / 100 % 2 == 0 ? 0 : lesson.x.back());
  }
  return lesson;
}

const ports::Growth quick{.rounds = 60, .depth = 3, .eta = 0.2, .least_weight = 5, .column_share = 1};

}  // namespace

TEST_CASE("the same data and seed grow the same trees, byte by byte") {
  const Lesson lesson = halves();
  const xgb::Grower grower;
  const ports::Objective median{ports::Objective::Kind::quantile, 0.5};
  CHECK(grower.grow(lesson.matrix(), lesson.label, {}, median, quick)->save() ==
        grower.grow(lesson.matrix(), lesson.label, {}, median, quick)->save());
}

TEST_CASE("the pinball loss finds the quantiles") {
  const Lesson lesson = halves();
  const std::vector<float> asked{0.2f, 0.9f};
  const auto at = [&](double quantile) {
    const auto trees =
        xgb::Grower().grow(lesson.matrix(), lesson.label, {}, {ports::Objective::Kind::quantile, quantile}, quick);
    return trees->values({asked, 2, 1}, {});
  };
  const auto low = at(0.1);
  const auto high = at(0.9);
  CHECK(low[1] == Approx(0).margin(0.1));
  CHECK(high[0] == Approx(0.2).margin(0.07));
  CHECK(high[1] == Approx(0.9).margin(0.07));
}

TEST_CASE("trees that start from others add to them, and come back the same from their bytes") {
  const Lesson lesson = halves();
  const xgb::Grower grower;
  std::vector<float> hit;
  for (const float l : lesson.label) hit.push_back(l > 0.5f ? 1.0f : 0.0f);
  const auto first = grower.grow(lesson.matrix(), hit, {}, {}, quick);
  const auto base = first->values(lesson.matrix(), {});
  // On top of trees that have learned it all there is little left to learn.
  const auto second = grower.grow(lesson.matrix(), hit, base, {}, quick);
  const auto both = second->values(lesson.matrix(), base);
  for (std::size_t i = 0; i < both.size(); i += 97) CHECK(both[i] == Approx(base[i]).margin(0.6));
  CHECK(grower.load(second->save())->values(lesson.matrix(), base) == both);
  CHECK(second->values(lesson.matrix(), {}) != both);
}

TEST_CASE("a falling column never raises the value") {
  Lesson lesson;
  for (int i = 0; i < 3000; ++i) {
    lesson.x.push_back(static_cast<float>(i % 300) / 300);
    lesson.label.push_back(i * 7919 % 300 > i % 300 ? 1.0f : 0.0f);
  }
  ports::Growth growth = quick;
  growth.falling = 1;
  growth.depth = 6;
  const auto trees = xgb::Grower().grow(lesson.matrix(), lesson.label, {}, {}, growth);
  const auto values = trees->values({std::span(lesson.x).first(300), 300, 1}, {});
  CHECK(std::is_sorted(values.rbegin(), values.rend()));
  CHECK(values.front() > values.back() + 1);
}

TEST_CASE("a start of another length is refused") {
  const Lesson lesson = halves();
  const std::vector<float> few{1, 2};
  CHECK_THROWS_AS(xgb::Grower().grow(lesson.matrix(), lesson.label, few, {}, quick), base::Error);
}
