// SPDX-License-Identifier: Apache-2.0
// shadow.json, the note whose the folder is: {"vm":"web1"}, and its digest in a second line (checked_line.hpp). The
// points bear the VM's name too: where the note is damaged, they tell. What they hold does not hang on the note.

#include <fmt/core.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "adapters/nbd/checked_line.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using nlohmann::json;

std::string note_of(const model::VmName& vm) {
  return with_digest(json{{"vm", vm.get()}}.dump());
}

/// Kind::corrupt where it is damaged.
model::VmName read_note(const fs::path& file) {
  return base::with_context(fmt::format("{} is damaged", file.string()), [&] {
    const json note = json::parse(checked_line(base::read_text_file(file)), nullptr, false);
    if (!note.is_object() || !note.contains("vm") || !note["vm"].is_string())
      throw Error(Kind::corrupt, "it names no VM");
    return model::VmName(note["vm"].get<std::string>());
  });
}

/// Whose VM the newest point says that it is of; nothing where none tells.
std::optional<model::VmName> owner_by_points(const ShadowFolder& folder) {
  std::optional<model::VmName> owner;
  for (const StoredPoint& point : folder.points()) {
    if (point.readable && !point.vm.get().empty()) owner = point.vm;
  }
  return owner;
}

Error belongs_to(const ShadowFolder& folder, const model::VmName& owner, const model::VmName& vm) {
  return Error(Kind::refused,
               fmt::format("the shadow {} belongs to {}, not to {}", folder.id().get(), owner.get(), vm.get()),
               fmt::format("give {} a shadow of its own, or drop this one: umbra shadow {} --drop", vm.get(),
                           base::shell_word(owner)));
}

}  // namespace

model::VmName ShadowFolder::vm() const {
  try {
    return read_note(m_path / shadow_file);
  } catch (const Error& e) {
    if (e.kind() != Kind::corrupt) throw;
    if (const auto owner = owner_by_points(*this)) return *owner;
    throw;
  }
}

model::VmName ShadowFolder::vm_for_hints() const {
  try {
    return vm();
  } catch (const Error&) {
    return model::VmName("VM");
  }
}

void ShadowFolder::look_at_note() const {
  try {
    read_note(m_path / shadow_file);
  } catch (const Error& e) {
    if (e.kind() != Kind::corrupt) throw;
    base::log(base::Level::warning,
              fmt::format("{}: it tells whose points these are, and they are as they were; the next pass, or umbra "
                          "shadow {}, writes it anew",
                          e.what(), base::shell_word(vm_for_hints())));
  }
}

void ShadowFolder::write_vm(const model::VmName& vm) const {
  base::write_file_atomic(m_path / shadow_file, note_of(vm));
}

void ShadowFolder::restore_vm(const model::VmName& vm, const std::string& why) const {
  const auto owner = owner_by_points(*this);
  if (owner && *owner != vm) throw belongs_to(*this, *owner, vm);
  base::log(base::Level::warning,
            fmt::format("{}: the folder is noted as {}'s again, {}; its points are as they were", why, vm.get(),
                        owner ? "as its points say" : "who asks for it: no point tells"));
  write_vm(vm);
}

void ShadowFolder::require_vm(const model::VmName& vm) const {
  model::VmName owner;
  try {
    owner = read_note(m_path / shadow_file);
  } catch (const Error& e) {
    if (e.kind() != Kind::corrupt) throw;
    return restore_vm(vm, e.what());
  }
  if (owner != vm) throw belongs_to(*this, owner, vm);
}

void ShadowFolder::make(const model::VmName& vm) const {
  if (exists()) return;
  if (fs::exists(m_path)) return restore_vm(vm, fmt::format("{} is gone", (m_path / shadow_file).string()));
  const fs::path root = m_path.parent_path();
  const fs::path making = root / (std::string(making_prefix) + m_id.get());
  fs::create_directories(making);
  base::sync_dir(root.parent_path());  // where the folder of all shadows may be new
  base::write_file_atomic(making / shadow_file, note_of(vm));
  if (::rename(making.c_str(), m_path.c_str()) != 0)
    throw base::from_errno(errno, fmt::format("make {}", m_path.string()));
  base::sync_dir(root);
}

}  // namespace umbra::nbd
