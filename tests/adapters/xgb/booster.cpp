// SPDX-License-Identifier: Apache-2.0
#include "adapters/xgb/booster.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <thread>

#include "base/error.hpp"

namespace {

using namespace umbra;
using namespace umbra::xgb;

/// y = 2x, and a second column that says nothing.
struct Data {
  std::vector<float> values;
  std::vector<float> labels;
  Matrix matrix() const { return {values, labels.size(), 2}; }
};

Data doubled() {
  Data data;
  for (int i = 0; i < 400; ++i) {
    const float x = static_cast<float>(i) / 400;
    data.values.insert(data.values.end(), {x, static_cast<float>(i * 7919 % 400)});
    data.labels.push_back(2 * x);
  }
  return data;
}

Booster trained(unsigned seed = 1) {
  const Data data = doubled();
  TrainOptions options;
  options.params = {{"objective", "reg:squarederror"}, {"max_depth", "4"}, {"eta", "0.2"}, {"subsample", "0.8"}};
  options.seed = seed;
  return Booster::train(data.matrix(), data.labels, options);
}

base::Kind kind_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const base::Error& e) {
    CHECK_FALSE(e.message().empty());
    CHECK(e.message().find("Stack trace") == std::string::npos);
    return e.kind();
  }
  FAIL("no error");
  return base::Kind::internal;
}

}  // namespace

TEST_CASE("it learns y = 2x") {
  const Booster booster = trained();
  CHECK(booster.columns() == 2);
  const std::vector<float> asked{0.1f, 5, 0.5f, 300, 0.9f, 17};
  const auto answers = booster.predict({asked, 3, 2});
  REQUIRE(answers.size() == 3);
  CHECK(answers[0] == Approx(0.2).margin(0.03));
  CHECK(answers[1] == Approx(1.0).margin(0.03));
  CHECK(answers[2] == Approx(1.8).margin(0.03));
}

TEST_CASE("the same seed gives the same model, another seed another") {
  CHECK(trained(1).save() == trained(1).save());
  CHECK(trained(1).save() != trained(2).save());
}

TEST_CASE("a saved model predicts the same once loaded") {
  const Booster before = trained();
  const Booster after = Booster::load(before.save());
  const Data data = doubled();
  CHECK(after.predict(data.matrix()) == before.predict(data.matrix()));
  CHECK(after.columns() == 2);
}

TEST_CASE("a damaged model is refused") {
  auto model = trained().save();
  const auto refused = [](std::span<const std::byte> bytes) {
    return kind_of([&] { Booster::load(bytes); }) == base::Kind::corrupt;
  };
  CHECK(refused({}));
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{8}, std::size_t{40}, std::size_t{41}, model.size() / 2, model.size() - 1}) {
    INFO(size);
    CHECK(refused(std::span(model).first(size)));
  }
  model[model.size() / 2] ^= std::byte{1};
  CHECK(refused(model));
  model[model.size() / 2] ^= std::byte{1};
  CHECK_NOTHROW(Booster::load(model));
}

TEST_CASE("shapes and parameters that do not fit are refused") {
  const Data data = doubled();
  const std::vector<float> few{1, 2};
  CHECK(kind_of([&] { Booster::train(data.matrix(), few, {}); }) == base::Kind::invalid);
  CHECK(kind_of([&] { Booster::train({few, 2, 2}, few, {}); }) == base::Kind::invalid);
  CHECK(kind_of([&] { Booster::train({}, {}, {}); }) == base::Kind::invalid);
  TrainOptions wrong;
  wrong.params = {{"objective", "reg:nonsense"}};
  CHECK(kind_of([&] { Booster::train(data.matrix(), data.labels, wrong); }) == base::Kind::invalid);
  wrong.params = {{"max_depth", "deep"}};
  CHECK(kind_of([&] { Booster::train(data.matrix(), data.labels, wrong); }) == base::Kind::invalid);
  const Booster booster = trained();
  CHECK(kind_of([&] { booster.predict({few, 2, 1}); }) == base::Kind::invalid);
  CHECK(booster.predict({{}, 0, 2}).empty());
}

TEST_CASE("missing values are taken as such") {
  const Booster booster = trained();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> asked{0.5f, nan, nan, nan};
  const auto answers = booster.predict({asked, 2, 2});
  CHECK(answers[0] == Approx(1.0).margin(0.1));
  CHECK(std::isfinite(answers[1]));
}

TEST_CASE("so many rows that threads share them are as each alone") {
  const Booster booster = trained();
  constexpr std::size_t many = 40001;
  std::vector<float> rows(2 * many);
  std::vector<float> start(many);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(i * 7919 % 1000) / 1000;
  for (std::size_t i = 0; i < many; ++i) start[i] = static_cast<float>(i % 13) / 10;
  const auto together = booster.predict({rows, many, 2}, start);
  REQUIRE(together.size() == many);
  const auto row = [&](std::size_t i) { return std::span<const float>(rows).subspan(2 * i, 2); };
  for (std::size_t i = 0; i < many; i += 997)
    CHECK(booster.predict({row(i), 1, 2}, std::span(start).subspan(i, 1)).front() == together[i]);
  CHECK(booster.predict({row(many - 1), 1, 2}, std::span(start).last(1)).front() == together.back());
}

TEST_CASE("threads that ask one model at once get what one alone gets") {
  const Booster booster = trained();
  const Data data = doubled();
  const std::vector<float> alone = booster.predict(data.matrix());
  std::vector<int> same(4, 0);  // Catch is one thread's
  std::vector<std::thread> threads;
  for (int& count : same) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) count += booster.predict(data.matrix()) == alone ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(same == std::vector<int>(4, 200));
}

TEST_CASE("the library's version is told") {
  CHECK(version().find('.') != std::string::npos);
}
