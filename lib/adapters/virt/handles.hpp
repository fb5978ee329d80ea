// SPDX-License-Identifier: Apache-2.0
#pragma once
// Owners of libvirt's handles. Forward declarations alone, so that no libvirt header leaves a .cpp.

#include <memory>

struct _virConnect;
struct _virDomain;
struct _virDomainCheckpoint;
struct _virDomainSnapshot;
struct _virInterface;
struct _virNetwork;
struct _virNodeDevice;

namespace umbra::virt {

struct HandleRelease {
  void operator()(_virConnect* handle) const noexcept;
  void operator()(_virDomain* handle) const noexcept;
  void operator()(_virDomainCheckpoint* handle) const noexcept;
  void operator()(_virDomainSnapshot* handle) const noexcept;
  void operator()(_virInterface* handle) const noexcept;
  void operator()(_virNetwork* handle) const noexcept;
  void operator()(_virNodeDevice* handle) const noexcept;
  void operator()(char* text) const noexcept;
};

template <class T>
using Handle = std::unique_ptr<T, HandleRelease>;
using ConnectHandle = Handle<_virConnect>;
using DomainHandle = Handle<_virDomain>;
/// Text that libvirt allocated.
using Text = Handle<char>;

}  // namespace umbra::virt
