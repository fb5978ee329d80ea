// SPDX-License-Identifier: Apache-2.0
#pragma once
// How soon libvirt on each host gives up a link that was cut in the last instant of a move: asked over there, by the
// far end's `receive` command, and judged for all hosts together.

#include <map>
#include <string>

#include "model/config.hpp"

namespace umbra::cmd {

/// Of one host, in words.
struct KeepaliveFinding {
  std::string found;
  std::string fix;  ///< empty: it is in order, or not known
};

/// The answer of `umbra receive --keepalive`.
std::string keepalive_answer();
/// Those hosts whose libvirt is one of QEMU.
std::map<model::HostName, KeepaliveFinding> keepalive_findings(const model::Config& config);

}  // namespace umbra::cmd
