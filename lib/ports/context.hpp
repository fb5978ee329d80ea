// SPDX-License-Identifier: Apache-2.0
#pragma once
// What every effectful feature is given: the hosts, the way to their blocks, the time, and the request to stop.

#include <functional>

#include "base/cancel.hpp"
#include "base/clock.hpp"
#include "ports/hypervisor.hpp"
#include "ports/links.hpp"
#include "ports/transport.hpp"

namespace umbra::ports {

/// How far one part of a point has come. Bytes that had to be looked at, not bytes on the wire.
struct Progress {
  model::VmName vm;
  model::DiskName part;
  model::ByteCount done;
  model::ByteCount total;
  model::ByteCount told;  ///< of `done`, what had to be sent, in this part
  model::ByteCount sent;  ///< as what went out, compressed, in this part
};

using ProgressCall = std::function<void(const Progress&)>;

/// All references outlive the call that they are given to.
struct Context {
  Hypervisors& hypervisors;
  Transport& transport;
  base::Clock& clock;
  const base::CancelToken& cancel;
  ProgressCall progress{};      ///< may be empty
  LinkShares* links = nullptr;  ///< null: nothing else uses the hosts' links
};

}  // namespace umbra::ports
