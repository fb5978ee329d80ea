// SPDX-License-Identifier: Apache-2.0
#include "raw.hpp"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>

#include <catch2/catch.hpp>

#include <cstdlib>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace umbra::virt::test {

Raw::Raw(const model::VmName& name)
    : m_connection(virConnectOpen(embedded_host().uri.c_str()), &virConnectClose),
      m_domain(virDomainLookupByName(m_connection.get(), name.get().c_str()), &virDomainFree) {
  REQUIRE(m_domain);
}

std::string Raw::monitor(const std::string& command, const std::string& arguments) const {
  const std::string request = fmt::format(R"({{"execute":"{}","arguments":{}}})", command, arguments);
  char* answer = nullptr;
  REQUIRE(virDomainQemuMonitorCommand(domain(), request.c_str(), &answer, 0) == 0);
  const std::unique_ptr<char, decltype(&std::free)> owned(answer, &std::free);
  INFO(request << " gives " << answer);
  const auto parsed = nlohmann::json::parse(answer);
  REQUIRE(parsed.contains("return"));
  return parsed.at("return").dump();
}

void Raw::mirror(const std::string& job, const std::string& file, const std::string& target) const {
  monitor("blockdev-mirror",
          fmt::format(R"({{"job-id":"{}","device":"{}","target":"{}","sync":"top","auto-dismiss":false}})", job,
                      node_of(file), target));
}

std::string Raw::node_of(const std::string& path) const {
  for (const auto& node : nlohmann::json::parse(monitor("query-named-block-nodes", R"({"flat":true})")))
    if (node.at("drv") == "qcow2" && node.at("file") == path) return node.at("node-name");
  FAIL("QEMU has no node of " << path);
  return {};
}

}  // namespace umbra::virt::test
