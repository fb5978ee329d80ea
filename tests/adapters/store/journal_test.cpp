// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "adapters/store/power_loss.hpp"
#include "adapters/store/rows.hpp"
#include "adapters/store/store.hpp"
#include "adapters/store/temp_dir.hpp"
#include "base/error.hpp"

using namespace umbra;
using namespace umbra::test;
using ports::StepPhase;

namespace {

template <class Act>
base::Error failure_of(Act&& act) {
  try {
    act();
  } catch (const base::Error& e) {
    return e;
  }
  FAIL("nothing was thrown");
  throw 0;
}

}  // namespace

TEST_CASE("a walk and its steps come back in the order of their writing") {
  TempDir dir;
  std::int64_t id = 0;
  {
    store::SqliteStore store(dir.path());
    id = store.journal().open_walk(walk_of("u1"));
    store.journal().append(id, {"freeze", StepPhase::intent, R"({"overlay":"a"})", at(10)});
    store.journal().append(id, {"freeze", StepPhase::done, "{}", at(5)});  // a clock that was set back changes no order
    store.journal().append(id, {"freeze", StepPhase::undone, "", at(20)});
  }
  store::SqliteStore store(dir.path());
  const auto open = store.journal().open_walks();
  REQUIRE(open.size() == 1);
  CHECK(open[0].id == id);
  CHECK(open[0].kind == "switchover");
  CHECK(open[0].vm == model::VmName("web1"));
  CHECK(open[0].uuid == model::Uuid("u1"));
  CHECK(open[0].from == model::HostName("alpha"));
  CHECK(open[0].to == model::HostName("beta"));
  CHECK(open[0].epoch == model::Epoch{4});
  CHECK(open[0].plan == R"({"disks":["vda"]})");
  CHECK(open[0].state == "open");
  CHECK(open[0].started == at(1000));
  const auto entries = store.journal().entries(id);
  REQUIRE(entries.size() == 3);
  CHECK(entries[0].step == "freeze");
  CHECK(entries[0].phase == StepPhase::intent);
  CHECK(entries[0].data == R"({"overlay":"a"})");
  CHECK(entries[0].at == at(10));
  CHECK(entries[1].phase == StepPhase::done);
  CHECK(entries[2].phase == StepPhase::undone);
}

TEST_CASE("a VM has one open walk at most") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  const std::int64_t first = store.journal().open_walk(walk_of("u1"));
  const base::Error error = failure_of([&] { store.journal().open_walk(walk_of("u1")); });
  CHECK(error.kind() == base::Kind::interrupted);
  CHECK(std::string(error.what()) == "a switchover of web1 was interrupted and is still open");
  CHECK(error.hint() == "run: umbra switchover --recover web1");
  store.journal().open_walk(walk_of("u2"));
  store.journal().close_walk(first, "done");
  store.journal().open_walk(walk_of("u1"));
  CHECK(store.journal().open_walks().size() == 2);
}

TEST_CASE("a walk for a lost host may be opened beside the one that the host's end interrupted, and none after it") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  ports::Walk lost = walk_of("u1");
  lost.kind = ports::lost_host_kind;
  lost.epoch = model::Epoch{5};
  const std::int64_t live = store.journal().open_walk(walk_of("u1"));
  const std::int64_t beside = store.journal().open_walk(lost);
  CHECK(store.journal().open_walks().size() == 2);
  CHECK(failure_of([&] { store.journal().open_walk(lost); }).kind() == base::Kind::interrupted);
  store.journal().close_walk(live, "undone");
  CHECK(failure_of([&] { store.journal().open_walk(walk_of("u1")); }).kind() == base::Kind::interrupted);
  store.journal().close_walk(beside, "done");
  store.journal().open_walk(walk_of("u1"));
}

TEST_CASE("a closed walk stays as it is") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  const std::int64_t id = store.journal().open_walk(walk_of("u1"));
  store.journal().close_walk(id, "undone");
  CHECK(store.journal().open_walks().empty());
  CHECK(failure_of([&] {
          store.journal().append(id, {"move", StepPhase::intent, "", at(1)});
        }).kind() == base::Kind::internal);
  CHECK(failure_of([&] { store.journal().close_walk(id, "done"); }).kind() == base::Kind::internal);
  CHECK(failure_of([&] { store.journal().close_walk(id, "open"); }).kind() == base::Kind::internal);
  CHECK(failure_of([&] {
          store.journal().append(999, {"move", StepPhase::intent, "", at(1)});
        }).kind() == base::Kind::internal);
  CHECK(store.journal().entries(id).empty());
  CHECK(store.journal().walks(model::Uuid("u1")).at(0).state == "undone");
}

TEST_CASE("a VM's walks come newest first") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  const std::int64_t first = store.journal().open_walk(walk_of("u1"));
  store.journal().close_walk(first, "done");
  const std::int64_t second = store.journal().open_walk(walk_of("u1"));
  store.journal().open_walk(walk_of("u2"));
  const auto walks = store.journal().walks(model::Uuid("u1"));
  REQUIRE(walks.size() == 2);
  CHECK(walks[0].id == second);
  CHECK(walks[1].id == first);
}

TEST_CASE("an epoch only grows") {
  TempDir dir;
  store::SqliteStore store(dir.path());
  const model::Uuid vm("u1");
  CHECK(store.journal().epoch(vm) == model::Epoch{0});
  CHECK(failure_of([&] { store.journal().raise_epoch(vm, model::Epoch{0}); }).kind() == base::Kind::refused);
  store.journal().raise_epoch(vm, model::Epoch{3});
  CHECK(failure_of([&] { store.journal().raise_epoch(vm, model::Epoch{3}); }).kind() == base::Kind::refused);
  CHECK(failure_of([&] { store.journal().raise_epoch(vm, model::Epoch{2}); }).kind() == base::Kind::refused);
  store.journal().raise_epoch(vm, model::Epoch{4});
  CHECK(store.journal().epoch(vm) == model::Epoch{4});
  CHECK(store.journal().epoch(model::Uuid("u2")) == model::Epoch{0});
}

TEST_CASE("every call of the journal is on disk when it returns") {
  TempDir dir;
  PowerLoss power(dir / "synced");
  store::SqliteStore store(dir / "state");
  const model::Uuid vm("u1");

  const std::int64_t id = store.journal().open_walk(walk_of("u1"));
  CHECK(store::SqliteStore(power.after()).journal().open_walks().size() == 1);

  store.journal().append(id, {"freeze", StepPhase::intent, "{}", at(1)});
  CHECK(store::SqliteStore(power.after()).journal().entries(id).size() == 1);

  store.journal().append(id, {"freeze", StepPhase::done, "{}", at(2)});
  {
    store::SqliteStore survivor(power.after());
    const auto entries = survivor.journal().entries(id);
    REQUIRE(entries.size() == 2);
    CHECK(entries[1].phase == StepPhase::done);
  }

  store.journal().raise_epoch(vm, model::Epoch{4});
  CHECK(store::SqliteStore(power.after()).journal().epoch(vm) == model::Epoch{4});

  store.journal().close_walk(id, "done");
  CHECK(store::SqliteStore(power.after()).journal().open_walks().empty());
}
