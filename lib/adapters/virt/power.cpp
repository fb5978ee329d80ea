// SPDX-License-Identifier: Apache-2.0
// Definitions, and starting and stopping by them.
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <fmt/format.h>

#include "adapters/virt/domain_xml.hpp"
#include "adapters/virt/errors.hpp"
#include "adapters/virt/libvirt_hypervisor.hpp"
#include "adapters/virt/xml_edit.hpp"

namespace umbra::virt {

namespace {

/// What stands here under the primary's name may be replaced only where it is the same VM, and off.
void refuse_to_replace(const Connection& connection, const model::Domain& primary) {
  const DomainHandle present = connection.find_domain(primary.name);
  if (!present) return;
  const std::string what = connection.act("define the shadow of", primary.name);
  char uuid[VIR_UUID_STRING_BUFLEN];
  check(virDomainGetUUIDString(present.get(), uuid), what);
  if (primary.uuid.get() != uuid) {
    throw base::Error(base::Kind::refused, fmt::format("{}: another VM of that name is there ({})", what, uuid),
                      "rename or remove it: " + connection.virsh("undefine", primary.name));
  }
  if (is_active(present.get())) {
    throw base::Error(base::Kind::refused, what + ": the VM runs there",
                      "see which of the two is right: " + connection.virsh("domstate", primary.name));
  }
}

/// What libvirt remembers of an earlier life of the VM here. Its bitmaps stay in the old files; were the names kept,
/// they would pass for checkpoints of whatever the VM comes back with.
void forget_checkpoints(_virDomain* domain, const std::string& what) {
  virDomainCheckpointPtr* raw = nullptr;
  const int count = check(virDomainListAllCheckpoints(domain, &raw, 0), what);
  const std::vector<Handle<_virDomainCheckpoint>> checkpoints(raw, raw + count);
  std::free(raw);
  for (const auto& checkpoint : checkpoints) {
    check(virDomainCheckpointDelete(checkpoint.get(), VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY), what);
  }
}

/// Lets a guest go on that was resumed paused, once its cables are out. It does not stay where they can't be pulled.
void resume_unplugged(_virDomain* domain, const std::string& what) {
  try {
    for (const std::string& nic : unplugged_nics(domain_xml_of(domain, false))) {
      check(virDomainUpdateDeviceFlags(domain, nic.c_str(), VIR_DOMAIN_AFFECT_LIVE), what);
    }
    check(virDomainResume(domain), what);
  } catch (const base::Error&) {
    virDomainDestroy(domain);
    throw;
  }
}

}  // namespace

void LibvirtHypervisor::define_shadow(const model::Domain& primary, const ports::ShadowDefinition& definition) {
  refuse_to_replace(*m_connection, primary);
  const std::string what = m_connection->act("define the shadow of", primary.name);
  const std::string xml = base::with_context(what, [&] { return shadow_xml(primary.xml, definition); });
  const DomainHandle domain(virDomainDefineXML(m_connection->get(), xml.c_str()));
  check(domain.get(), what);
  check(virDomainSetAutostart(domain.get(), 0), what);
  forget_checkpoints(domain.get(), what);
}

void LibvirtHypervisor::undefine(const model::VmName& vm) {
  const DomainHandle domain = m_connection->find_domain(vm);
  if (!domain) return;
  const std::string what = m_connection->act("undefine", vm);
  if (is_active(domain.get())) {
    throw base::Error(base::Kind::refused, what + ": it runs", "stop it first: " + m_connection->virsh("destroy", vm));
  }
  const unsigned flags = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                         VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_KEEP_NVRAM |
                         VIR_DOMAIN_UNDEFINE_KEEP_TPM;
  check(virDomainUndefineFlags(domain.get(), flags), what);
}

void LibvirtHypervisor::set_tag(const model::VmName& vm, const model::RoleTag& tag) {
  const DomainHandle domain = m_connection->domain(vm);
  const std::string what = m_connection->act("write Umbra's tag of", vm);
  unsigned flags = 0;
  if (is_active(domain.get())) flags |= VIR_DOMAIN_AFFECT_LIVE;
  if (check(virDomainIsPersistent(domain.get()), what) == 1) flags |= VIR_DOMAIN_AFFECT_CONFIG;
  const std::string xml = tag_xml(tag);
  const bool remove = tag.role == model::Role::none && tag.epoch.value == 0;
  const int result = virDomainSetMetadata(domain.get(), VIR_DOMAIN_METADATA_ELEMENT, remove ? nullptr : xml.c_str(),
                                          std::string(tag_prefix).c_str(), std::string(tag_namespace).c_str(), flags);
  if (result == 0) return;
  const Failure failure = last_failure();
  if (!remove || failure.code != VIR_ERR_NO_DOMAIN_METADATA) throw to_error(failure, what);
}

void LibvirtHypervisor::set_autostart(const model::VmName& vm, bool on) {
  check(virDomainSetAutostart(m_connection->domain(vm).get(), on ? 1 : 0),
        m_connection->act("set the autostart of", vm));
}

void LibvirtHypervisor::start(const model::VmName& vm) {
  check(virDomainCreate(m_connection->domain(vm).get()), m_connection->act("start", vm));
}

void LibvirtHypervisor::resume(const model::VmName& vm) {
  check(virDomainResume(m_connection->domain(vm).get()), m_connection->act("resume", vm));
}

void LibvirtHypervisor::destroy(const model::VmName& vm) {
  const DomainHandle domain = m_connection->find_domain(vm);
  if (!domain || !is_active(domain.get())) return;
  const std::string what = m_connection->act("stop", vm);
  if (virDomainDestroy(domain.get()) == 0) return;
  const Failure failure = last_failure();
  // It may have ended by itself, and with it, where it was defined nowhere, the domain.
  const bool gone =
      failure.code == VIR_ERR_NO_DOMAIN || (failure.code == VIR_ERR_OPERATION_INVALID && !is_active(domain.get()));
  if (!gone) throw to_error(failure, what);
}

void LibvirtHypervisor::restore(const model::VmName& vm, const ports::ResumeRequest& request) {
  const std::string what = m_connection->act("resume from a memory image", vm);
  const char* file = request.memory_file.c_str();
  const std::string image_xml = check(
      Text(virDomainSaveImageGetXMLDesc(m_connection->get(), file, VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)).get(), what);
  const model::VmName named = parse_domain(image_xml).domain.name;
  if (named != vm) {
    throw base::Error(base::Kind::invalid,
                      fmt::format("{}: {} holds the memory of {}", what, request.memory_file, named.get()));
  }
  std::optional<std::string> defined_here;
  if (const DomainHandle present = m_connection->find_domain(vm)) {
    if (is_active(present.get())) throw base::Error(base::Kind::refused, what + ": it runs there already");
    defined_here = domain_xml_of(present.get(), true, VIR_DOMAIN_XML_SECURE);
  }
  const std::string xml = base::with_context(what, [&] { return resume_xml(image_xml, request, defined_here); });
  const unsigned flags = request.links_down ? VIR_DOMAIN_SAVE_PAUSED : VIR_DOMAIN_SAVE_RUNNING;
  check(virDomainRestoreFlags(m_connection->get(), file, xml.c_str(), flags), what);
  if (request.links_down) resume_unplugged(m_connection->domain(vm).get(), what);
}

}  // namespace umbra::virt
