// SPDX-License-Identifier: Apache-2.0
#include "cmd/fleet.hpp"

#include <algorithm>
#include <deque>
#include <future>
#include <memory>
#include <thread>

#include "cmd/session.hpp"

namespace umbra::cmd {
namespace {

using Answers = std::vector<FleetAnswer>;

/// Some VMs whose histories are looked at one after the other. Which VMs share a group makes no answer another.
class Group {
 public:
  static constexpr std::size_t most = 64;

  void add(std::size_t which, ports::HistoryStore::Unpack unpack) {
    m_members.push_back({which, std::move(unpack), {}});
  }
  bool is_full() const { return m_members.size() == most; }

  /// On a thread of its own.
  void forecast(const ChosenModel& chosen, std::span<const FleetQuestion> questions) {
    const auto forecaster = forecaster_of(chosen);
    predict::Round round(*forecaster);
    model::Series series;  // its memory serves the next
    for (Member& member : m_members) {
      try {
        base::as_error([&] {
          member.unpack(series);
          const FleetQuestion& q = questions[member.which];
          series.vm = q.vm.name;
          if (series.samples.empty()) return;
          round.add(series, q.configured, q.question);
          member.outcome = Outcome::asked;
        });
      } catch (const base::Error& error) {
        member.outcome = Outcome::failed;
        member.error = error;
      }
      member.unpack = {};
    }
    m_forecasts = round.finish();
  }

  /// Answers those that had a history.
  void answer(Answers& answers) {
    auto next = m_forecasts.begin();
    for (const Member& member : m_members) {
      if (member.outcome == Outcome::asked) answers[member.which].forecast = std::move(*next++);
      if (member.outcome == Outcome::failed) answers[member.which].error = member.error;
    }
  }

 private:
  enum class Outcome { none, asked, failed };
  struct Member {
    std::size_t which;
    ports::HistoryStore::Unpack unpack;
    std::optional<base::Error> error;
    Outcome outcome = Outcome::none;
  };
  std::vector<Member> m_members;
  std::vector<model::Forecast> m_forecasts;  ///< of those asked
};

/// Groups at work, as many at once as there are cores.
class Groups {
 public:
  Groups(const ChosenModel& chosen, std::span<const FleetQuestion> questions)
      : m_chosen(chosen), m_questions(questions) {}

  void add(std::size_t which, ports::HistoryStore::Unpack unpack) {
    if (!m_open) m_open = std::make_unique<Group>();
    m_open->add(which, std::move(unpack));
    if (m_open->is_full()) start();
  }

  void finish(Answers& answers) {
    if (m_open) start();
    while (!m_at_work.empty()) wait();
    for (const auto& group : m_groups) group->answer(answers);
  }

 private:
  void start() {
    if (m_at_work.size() == std::max(1u, std::thread::hardware_concurrency())) wait();
    Group& group = *m_groups.emplace_back(std::move(m_open));
    m_at_work.push_back(std::async(std::launch::async, [this, &group] { group.forecast(m_chosen, m_questions); }));
  }
  void wait() {
    m_at_work.front().get();
    m_at_work.pop_front();
  }

  const ChosenModel& m_chosen;
  std::span<const FleetQuestion> m_questions;
  std::unique_ptr<Group> m_open;
  std::deque<std::unique_ptr<Group>> m_groups;
  std::deque<std::future<void>> m_at_work;  ///< the last member: its end waits for them
};

/// Those of `which` that have a history under `uuids`.
void answer_from(Session& session, const ChosenModel& chosen, std::span<const FleetQuestion> questions,
                 std::span<const std::size_t> which, std::span<const model::Uuid> uuids, base::Instant since,
                 Answers& answers) {
  Groups groups(chosen, questions);
  session.history().each_of(uuids, since, [&](std::size_t i, ports::HistoryStore::Unpack unpack) {
    session.cancel().check();
    groups.add(which[i], std::move(unpack));
  });
  groups.finish(answers);
}

}  // namespace

std::vector<FleetAnswer> forecast_fleet(Session& session, const ChosenModel& chosen,
                                        std::span<const FleetQuestion> questions, base::Instant since) {
  Answers answers(questions.size());
  const auto ask_those_left = [&](const std::function<model::Uuid(const model::Vm&)>& uuid_of) {
    std::vector<std::size_t> which;
    std::vector<model::Uuid> uuids;
    for (std::size_t i = 0; i < questions.size(); ++i) {
      if (answers[i].forecast || answers[i].error) continue;
      which.push_back(i);
      uuids.push_back(uuid_of(questions[i].vm));
    }
    answer_from(session, chosen, questions, which, uuids, since, answers);
  };
  ask_those_left([](const model::Vm& vm) { return vm.uuid; });
  ask_those_left([](const model::Vm& vm) { return ports::uuid_by_name(vm.name); });

  const auto forecaster = forecaster_of(chosen);
  for (std::size_t i = 0; i < questions.size(); ++i) {
    FleetAnswer& answer = answers[i];
    if (!answer.forecast && !answer.error) {
      try {
        predict::forecast({questions[i].vm.name, {}, {}, {}}, questions[i].configured, *forecaster,
                          questions[i].question);
      } catch (const base::Error& error) {
        answer.error = error;  // there is no history
      }
    }
    if (answer.forecast) answer.forecast->model_fallback = chosen.fallback;
  }
  return answers;
}

}  // namespace umbra::cmd
