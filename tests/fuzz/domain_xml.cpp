// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/domain_xml.hpp"

#include "adapters/virt/xml_edit.hpp"
#include "fuzz.hpp"

using namespace umbra;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string xml(fuzz::text_of(data, size));
  const model::DiskName vda{"vda"};
  model::RoleTag tag;
  fuzz::may_refuse([&] { virt::parse_domain(xml); });
  fuzz::may_refuse([&] { virt::parse_chains(xml); });
  fuzz::may_refuse([&] { virt::mirror_of(xml, vda); });
  fuzz::may_refuse([&] { virt::parse_cpu_need(xml); });
  fuzz::may_refuse([&] { virt::cpu_element(xml); });
  fuzz::may_refuse([&] { virt::parse_pci_device(xml); });
  fuzz::may_refuse([&] { virt::backup_export_uri(xml, "umbra-vda"); });
  fuzz::may_refuse([&] { virt::is_own_backup(xml); });
  fuzz::may_refuse([&] { virt::disks_but(xml, {vda}); });
  fuzz::may_refuse([&] { virt::unplugged_nics(xml); });
  fuzz::may_refuse([&] {
    ports::ShadowDefinition definition;
    definition.disk_paths = {{vda, "/images/vda.qcow2"}, {model::DiskName("vdb"), "/images/vdb.qcow2"}};
    definition.networks = {{"br0", "br1"}};
    definition.tag = tag;
    virt::parse_domain(virt::shadow_xml(xml, definition));
  });
  fuzz::may_refuse([&] {
    ports::MoveRequest request;
    request.target_paths = {{vda, "/images/top.qcow2"}};
    virt::move_xml(xml, request);
  });
  return 0;
}
