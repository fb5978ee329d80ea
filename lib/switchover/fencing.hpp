// SPDX-License-Identifier: Apache-2.0
#pragma once
// Making sure that a host that gives no answer runs nothing any more.

#include "switchover/switchover.hpp"

namespace umbra::switchover {

/// Only a host that gives no answer is lost: one that does has newer data than any point. Kind::refused where it
/// answers, whatever it knows of the VM.
void check_source_is_lost(const Ports& ports, const Request& request);
/// Kind::refused where there is no fence and the risk is not accepted. `command`: what was typed.
void check_fence(const Ports& ports, const model::HostName& host, bool risk_accepted, const std::string& command);
/// The fence's own words; where there is none, that the risk was accepted. Kind::refused where it gives no proof.
std::string fenced(const Ports& ports, const model::HostName& host, const std::string& command);

}  // namespace umbra::switchover
