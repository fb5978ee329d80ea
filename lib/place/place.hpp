// SPDX-License-Identifier: Apache-2.0
#pragma once
// place: which host a VM should go to. Pure: what the VM needs and what each host offers come in as values. A host
// passes every hard check or is rejected with the exact reason; those left are scored by terms that are all shown.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/config.hpp"
#include "model/domain.hpp"
#include "model/sections.hpp"
#include "model/units.hpp"

namespace umbra::place {

struct Need {
  model::VmName vm;
  model::HostName host;  ///< where it runs now
  model::ByteCount memory;
  unsigned vcpus = 1;
  model::Fraction cpu_peak{1.0};      ///< expected peak (p90) as a part of its vCPUs
  std::vector<std::string> networks;  ///< as its own host names them
  std::vector<std::string> gpus;      ///< models, one entry per device
  model::ByteCount disk;              ///< space that the shadow will still take; 0 where it is already there
};

/// The need of `domain` on `host`; the peak is the forecast's p90 where there is one. `shadow_disk` as in Need::disk.
Need need_of(const model::Domain& domain, const model::HostName& host, const std::optional<model::Forecast>& forecast,
             model::ByteCount shadow_disk);

struct Candidate {
  model::HostName host;
  std::optional<std::string> unreachable;  ///< why it could not be asked; the facts are empty then
  model::HostFacts facts;
  model::CpuVerdict cpu;
  std::map<std::string, std::string> networks;  ///< the others' network -> this host's; others keep their name
  model::ByteRate link = model::usual_link;     ///< what the VM's migration gets between the two hosts
};

/// The best host; ties go to the first by name. Kind::not_found, with every host's reason, where none is left.
/// Terms: cpu_headroom, memory_headroom, cpu_match, network, gpu, migration, each 0..1; score is their weighted mean.
model::Placement place(const Need& need, std::span<const Candidate> candidates, const model::PlaceConfig& config);

/// Takes the room of a VM off that was placed on the host but does not run there yet.
void reserve(Candidate& candidate, const Need& placed);

/// Why `candidate` can't take the VM; nothing where it can.
std::optional<std::string> objection(const Need& need, const Candidate& candidate, const model::PlaceConfig& config);

/// How long the first pass of a live migration takes: memory / link. What the guest dirties meanwhile is the decision's
/// matter, which measures it.
base::Seconds migration_time(const Need& need, const Candidate& candidate);

}  // namespace umbra::place
