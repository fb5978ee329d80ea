// SPDX-License-Identifier: Apache-2.0
#pragma once
// The record: one JSON object per VM that flows down a pipeline. Sections that a verb does not own pass unchanged.

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "model/sections.hpp"

namespace umbra::model {

using Json = nlohmann::ordered_json;

class Record {
 public:
  explicit Record(const Vm& vm);

  /// Reads one line; Kind::invalid where it is no JSON object of schema umbra/1 with a `vm`.
  static Record parse(std::string_view line);
  /// One line without a line end.
  std::string to_line() const;
  const Json& json() const { return m_json; }

  /// Each reads its section: nothing where it is absent, Kind::invalid where a field has a wrong type.
  Vm vm() const;
  std::optional<Forecast> forecast() const;
  std::optional<Placement> placement() const;
  std::optional<ShadowSection> shadow() const;
  std::optional<Replica> replica() const;
  std::optional<StateSection> state() const;
  std::optional<Decision> decision() const;
  std::optional<Outcome> outcome() const;
  std::optional<RecordError> error() const;

  /// Each replaces its section.
  void set(const Vm&);
  void set(const Forecast&);
  void set(const Placement&);
  void set(const ShadowSection&);
  void set(const Replica&);
  void set(const StateSection&);
  void set(const Decision&);
  void set(const Outcome&);
  void set(const RecordError&);
  /// Replaces a section that has no type of its own: a plan, what a rehearsal saw.
  void set_extra(const std::string& name, const Json& section) { m_json[name] = section; }

 private:
  explicit Record(Json json) : m_json(std::move(json)) {}
  Json m_json;
};

/// The JSON as one line; text that is no UTF-8 (a process or file of a guest may be named so) has its bytes replaced.
std::string to_text(const Json& json);

/// The parts of the JSON that other places (store, status) share with the record.
Json to_json(const Forecast&);
Json to_json(const Placement&);
Json to_json(const ShadowSection&);
Json to_json(const Replica&);
Json to_json(const StateSection&);
Json to_json(const Decision&);
Json to_json(const Outcome&);
Json to_json(const GuestActivity&);
Forecast forecast_from(const Json&);
Placement placement_from(const Json&);
Replica replica_from(const Json&);
StateSection state_from(const Json&);
Decision decision_from(const Json&);
Outcome outcome_from(const Json&);
GuestActivity activity_from(const Json&);

}  // namespace umbra::model
