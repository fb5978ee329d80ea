// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "adapters/store/rows.hpp"
#include "adapters/store/store.hpp"
#include "adapters/store/temp_dir.hpp"
#include "base/error.hpp"

using namespace umbra;
using namespace umbra::test;

namespace {

std::vector<std::byte> file_of(int n) {
  return {std::byte(n), std::byte{0}, std::byte(n + 1)};
}

void put(ports::ModelStore& models, int n) {
  models.put({0, at(n), "site" + std::to_string(n), "better", true}, file_of(n));
}

}  // namespace

TEST_CASE("the model that was put last is in use, also for the next run") {
  TempDir dir;
  {
    store::SqliteStore store(dir.path());
    CHECK_FALSE(store.models().in_use());
    put(store.models(), 1);
    put(store.models(), 2);
  }
  store::SqliteStore again(dir.path());
  CHECK(again.models().in_use() == file_of(2));
  const auto all = again.models().all();
  REQUIRE(all.size() == 2);
  CHECK(all[0].name == "site2");
  CHECK(all[0].made == at(2));
  CHECK(all[0].trial == "better");
  CHECK(all[0].in_use);
  CHECK_FALSE(all[1].in_use);
}

TEST_CASE("steps back lead through the earlier models to the one that ships, and no further") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  put(store.models(), 1);
  put(store.models(), 2);
  CHECK(store.models().step_back()->name == "site1");
  CHECK(store.models().in_use() == file_of(1));
  CHECK_FALSE(store.models().step_back());
  CHECK_FALSE(store.models().in_use());
  CHECK_THROWS_AS(store.models().step_back(), base::Error);
}

TEST_CASE("a model that was stepped back from is none that a later one steps back to") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  put(store.models(), 1);
  put(store.models(), 2);
  store.models().step_back();
  put(store.models(), 3);
  CHECK(store.models().step_back()->name == "site1");
}

TEST_CASE("the newest eight models stay") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  for (int n = 1; n <= 11; ++n) put(store.models(), n);
  const auto all = store.models().all();
  REQUIRE(all.size() == 8);
  CHECK(all.back().name == "site4");
  CHECK(store.models().in_use() == file_of(11));
}
