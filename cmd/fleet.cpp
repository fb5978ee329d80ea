// SPDX-License-Identifier: Apache-2.0
#include "cmd/fleet.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "ports/metric_source.hpp"

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

  /// On a thread of its own. Kind::cancelled alone leaves it: any other failure is an error of every VM that has none
  /// of its own, since an answer of those that were asked might be another's.
  void forecast(const ChosenModel& chosen, std::span<const FleetQuestion> questions, const base::CancelToken& cancel) {
    try {
      base::as_error([&] { m_forecasts = forecasts_of(chosen, questions, cancel); });
    } catch (const base::Error& failure) {
      if (failure.kind() == base::Kind::cancelled) throw;
      for (Member& member : m_members) {
        member.unpack = {};
        if (!member.error) member.error = failure;
      }
    }
  }

  /// Answers those that had a history.
  void answer(Answers& answers) {
    auto next = m_forecasts.begin();
    for (const Member& member : m_members) {
      if (member.error) {
        answers[member.which].error = member.error;
      } else if (member.is_asked) {
        answers[member.which].forecast = std::move(*next++);
      }
    }
  }

 private:
  struct Member {
    std::size_t which;
    ports::HistoryStore::Unpack unpack;
    std::optional<base::Error> error;
    bool is_asked = false;
  };

  std::vector<model::Forecast> forecasts_of(const ChosenModel& chosen, std::span<const FleetQuestion> questions,
                                            const base::CancelToken& cancel) {
    const auto forecaster = forecaster_of(chosen);
    predict::Round round(*forecaster);
    model::Series series;  // its memory serves the next
    for (Member& member : m_members) {
      cancel.check();
      if (unpack(member, series)) ask(round, series, questions[member.which], member);
    }
    return round.finish();
  }

  /// Whether there is something to forecast from.
  static bool unpack(Member& member, model::Series& series) {
    try {
      base::as_error([&] { std::exchange(member.unpack, {})(series); });
      return !series.samples.empty();
    } catch (const base::Error& error) {
      member.error = error;
      return false;
    }
  }

  static void ask(predict::Round& round, model::Series& series, const FleetQuestion& q, Member& member) {
    series.vm = q.vm.name;
    try {
      round.add(series, q.configured, q.question);
      member.is_asked = true;
    } catch (const base::Error& error) {
      if (error.kind() != base::Kind::invalid) throw;
      member.error = error;
    }
  }

  std::vector<Member> m_members;
  std::vector<model::Forecast> m_forecasts;  ///< of those asked
};

/// Groups at work, as many at once as there are cores.
class Groups {
 public:
  Groups(const ChosenModel& chosen, std::span<const FleetQuestion> questions, const base::CancelToken& cancel)
      : m_chosen(chosen), m_questions(questions), m_cancel(cancel) {}

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
    const auto forecast = [this, &group] { group.forecast(m_chosen, m_questions, m_cancel); };
    try {
      m_at_work.push_back(std::async(std::launch::async, forecast));
    } catch (const std::system_error&) {
      forecast();  // a limit of processes leaves this thread alone
    }
  }
  void wait() {
    m_at_work.front().get();
    m_at_work.pop_front();
  }

  const ChosenModel& m_chosen;
  std::span<const FleetQuestion> m_questions;
  const base::CancelToken& m_cancel;
  std::unique_ptr<Group> m_open;
  std::deque<std::unique_ptr<Group>> m_groups;
  std::deque<std::future<void>> m_at_work;  ///< the last member: its end waits for them
};

}  // namespace

std::vector<FleetAnswer> forecast_fleet(ports::HistoryStore& history, const base::CancelToken& cancel,
                                        const ChosenModel& chosen, std::span<const FleetQuestion> questions,
                                        base::Instant since) {
  Answers answers(questions.size());
  const auto ask_those_left = [&](const std::function<model::Uuid(const model::Vm&)>& uuid_of) {
    std::vector<std::size_t> left;
    std::vector<model::Uuid> uuids;
    for (std::size_t i = 0; i < questions.size(); ++i) {
      if (answers[i].forecast || answers[i].error) continue;
      left.push_back(i);
      uuids.push_back(uuid_of(questions[i].vm));
    }
    Groups groups(chosen, questions, cancel);
    history.each_of(uuids, since, [&](std::size_t which, ports::HistoryStore::Unpack unpack) {
      cancel.check();
      groups.add(left[which], std::move(unpack));
    });
    groups.finish(answers);
  };
  ask_those_left([](const model::Vm& vm) { return vm.uuid; });
  ask_those_left([](const model::Vm& vm) { return ports::uuid_by_name(vm.name); });

  for (std::size_t i = 0; i < questions.size(); ++i) {
    FleetAnswer& answer = answers[i];
    if (!answer.forecast && !answer.error) answer.error = predict::no_history(questions[i].vm.name);
    if (answer.forecast) answer.forecast->model_fallback = chosen.fallback;
  }
  return answers;
}

}  // namespace umbra::cmd
