// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/connection.hpp"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <chrono>
#include <cstdlib>
#include <future>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "adapters/virt/errors.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace umbra::virt {

namespace {

constexpr std::chrono::seconds open_deadline{15};
constexpr int keepalive_interval_s = 3;
constexpr unsigned keepalive_count = 4;

/// Libvirt's own loop, in a thread that lives as long as the process: it carries keepalive and events of every
/// connection, and the whole driver of an embedded one.
void start_event_loop() {
  check(virInitialize(), "start libvirt's client");
  virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});  // every failure is thrown; libvirt need not print it too
  check(virEventRegisterDefaultImpl(), "start libvirt's event loop");
  std::thread([] {
    while (virEventRunDefaultImpl() == 0) {
    }
    base::log(base::Level::error, "libvirt's event loop ended");
  }).detach();
}

void ensure_event_loop() {
  [[maybe_unused]] static const bool started = (start_event_loop(), true);
}

struct Opened {
  ConnectHandle connect;
  Failure failure;
};

base::Error unreachable(const model::HostName& host, const std::string& uri, const std::string& reason) {
  return {base::Kind::unreachable, fmt::format("host {} does not answer at {}: {}", host.get(), uri, reason),
          fmt::format("see whether its libvirt answers: virsh -c {} version", uri)};
}

/// In a thread of its own, since a host behind a cut link holds the call for minutes.
ConnectHandle open(const model::HostName& host, const std::string& uri) {
  ensure_event_loop();
  std::packaged_task<Opened()> task([uri] {
    Opened opened{ConnectHandle(virConnectOpen(uri.c_str())), {}};
    if (!opened.connect) opened.failure = last_failure();
    return opened;
  });
  std::future<Opened> result = task.get_future();
  std::thread(std::move(task)).detach();
  if (result.wait_for(open_deadline) != std::future_status::ready) {
    throw unreachable(host, uri, fmt::format("no answer within {} s", open_deadline.count()));
  }
  Opened opened = result.get();
  if (!opened.connect) throw unreachable(host, uri, opened.failure.message);
  // Local sockets and embedded drivers have no keepalive and need none.
  virConnectSetKeepAlive(opened.connect.get(), keepalive_interval_s, keepalive_count);
  return std::move(opened.connect);
}

std::string virsh_command(std::string_view uri, std::string_view command, std::string_view vm) {
  return fmt::format("virsh -c {} {} {}", base::shell_word(uri), command, base::shell_word(vm));
}

}  // namespace

void HandleRelease::operator()(_virConnect* handle) const noexcept {
  virConnectClose(handle);
}
void HandleRelease::operator()(_virDomain* handle) const noexcept {
  virDomainFree(handle);
}
void HandleRelease::operator()(_virDomainCheckpoint* handle) const noexcept {
  virDomainCheckpointFree(handle);
}
void HandleRelease::operator()(_virDomainSnapshot* handle) const noexcept {
  virDomainSnapshotFree(handle);
}
void HandleRelease::operator()(_virInterface* handle) const noexcept {
  virInterfaceFree(handle);
}
void HandleRelease::operator()(_virNetwork* handle) const noexcept {
  virNetworkFree(handle);
}
void HandleRelease::operator()(_virNodeDevice* handle) const noexcept {
  virNodeDeviceFree(handle);
}
void HandleRelease::operator()(char* text) const noexcept {
  std::free(text);
}

Connection::Connection(model::HostName host, std::string uri)
    : m_host(std::move(host)), m_uri(std::move(uri)), m_connect(open(m_host, m_uri)) {}

_virConnect* Connection::get() const {
  const std::lock_guard lock(m_mutex);
  if (virConnectIsAlive(m_connect.get()) == 0) {
    base::log(base::Level::warning, fmt::format("the connection to {} was closed; connecting anew", m_host.get()));
    ConnectHandle fresh = open(m_host, m_uri);
    m_closed.push_back(std::exchange(m_connect, std::move(fresh)));
  }
  return m_connect.get();
}

DomainHandle Connection::find_domain(const model::VmName& vm) const {
  DomainHandle domain(virDomainLookupByName(get(), vm.get().c_str()));
  if (domain) return domain;
  const Failure failure = last_failure();
  if (failure.code != VIR_ERR_NO_DOMAIN) throw to_error(failure, act("look up", vm));
  return nullptr;
}

DomainHandle Connection::domain(const model::VmName& vm) const {
  DomainHandle domain = find_domain(vm);
  if (!domain) {
    throw base::Error(base::Kind::not_found, fmt::format("no VM {} on {}", vm.get(), m_host.get()),
                      fmt::format("list what is there: virsh -c {} list --all", m_uri));
  }
  return domain;
}

std::string Connection::act(std::string_view verb, const model::VmName& vm) const {
  return fmt::format("{} {} on {}", verb, vm.get(), m_host.get());
}

std::string Connection::virsh(std::string_view command, const model::VmName& vm) const {
  return virsh_command(m_uri, command, vm.get());
}

std::string virsh(_virDomain* domain, std::string_view command) {
  const Text uri(virConnectGetURI(virDomainGetConnect(domain)));
  return virsh_command(uri ? uri.get() : "", command, name_of(domain));
}

std::string name_of(_virDomain* domain) {
  return virDomainGetName(domain);
}

std::string domain_xml_of(_virDomain* domain, bool inactive, unsigned flags) {
  const std::string what = "read the definition of " + name_of(domain);
  if (inactive) flags |= VIR_DOMAIN_XML_INACTIVE;
  return check(Text(virDomainGetXMLDesc(domain, flags)).get(), what);
}

bool is_active(_virDomain* domain) {
  const std::string what = "ask the state of " + name_of(domain);
  return check(virDomainIsActive(domain), what) == 1;
}

}  // namespace umbra::virt
