// SPDX-License-Identifier: Apache-2.0
#pragma once
// Names, ids and quantities of Umbra's vocabulary, each its own type.

#include <compare>
#include <cstdint>

#include "base/strong.hpp"

namespace umbra::model {

using VmName = base::Strong<struct VmNameTag>;
using HostName = base::Strong<struct HostNameTag>;
using Uuid = base::Strong<struct UuidTag>;          ///< lower-case, with dashes, as libvirt writes it
using ShadowId = base::Strong<struct ShadowIdTag>;  ///< the folder name of a shadow on its host
using DiskName = base::Strong<struct DiskNameTag>;  ///< the target name in the guest: vda
using CheckpointName = base::Strong<struct CheckpointNameTag>;

/// A restore point's number on its shadow: 1 is the first, 0 is "none yet".
struct PointNumber {
  std::uint64_t value = 0;
  auto operator<=>(const PointNumber&) const = default;
  PointNumber next() const { return {value + 1}; }
};

/// Grows by one at every activation; only the holder of the newest may run.
struct Epoch {
  std::uint64_t value = 0;
  auto operator<=>(const Epoch&) const = default;
  Epoch next() const { return {value + 1}; }
};

struct ByteCount {
  std::uint64_t value = 0;
  auto operator<=>(const ByteCount&) const = default;
  ByteCount& operator+=(ByteCount other) {
    value += other.value;
    return *this;
  }
};
inline ByteCount operator+(ByteCount a, ByteCount b) {
  return {a.value + b.value};
}

/// A part of a capacity: 0..1, above 1 where demand exceeds it.
struct Fraction {
  double value = 0;
  auto operator<=>(const Fraction&) const = default;
};

/// Bytes per second.
struct ByteRate {
  double value = 0;
  auto operator<=>(const ByteRate&) const = default;
};

}  // namespace umbra::model
