// SPDX-License-Identifier: Apache-2.0
#pragma once
// One host's hypervisor and its counters, by libvirt's API. The only folder that includes libvirt and knows domain XML.
// A connection to a daemon is local or remote alike: nothing here touches the host's files or runs a program on it.
// The folder by meaning: connection, facts (what the host is), inventory (what runs on it), domain_xml and xml_edit
// (pure), tracking, layers, moving, power, agent, counters.

#include <memory>
#include <string>

#include "model/config.hpp"
#include "ports/hypervisor.hpp"
#include "ports/metric_source.hpp"

namespace umbra::virt {

/// Connects to `host.uri`, in a session with keepalive: a peer that falls silent is given up after some seconds.
/// Kind::unreachable, with the URI, where nothing answers.
std::unique_ptr<ports::Hypervisor> connect(const model::HostConfig& host);

/// What a domain's XML says of itself; its state is not in it. Kind::invalid where it is no domain.
model::Domain domain_of(const std::string& xml);

/// Counters of `host` and its running domains, from one bulk call; connected when first asked, and again after a loss.
std::unique_ptr<ports::MetricSource> metric_source(const model::HostConfig& host);

}  // namespace umbra::virt
