// SPDX-License-Identifier: Apache-2.0
#include "fakes/memory_lab.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace umbra::fakes {

using base::Error;
using base::Kind;
using model::DomainState;

base::Instant LabClock::now() const {
  return *base::parse_rfc3339("2026-11-24T10:00:00Z") + m_passed;
}

void LabClock::advance(base::Seconds span) {
  m_passed += base::Millis(std::llround(span.count() * 1000));
}

class LabJob : public ports::BackupJob {
 public:
  LabJob(MemoryLab& lab, model::Domain& domain) : m_lab(lab), m_domain(domain), m_taken_at(lab.clock.now()) {
    ++lab.open_jobs;
    domain.job = true;
  }
  LabJob(const LabJob&) = delete;
  LabJob& operator=(const LabJob&) = delete;
  ~LabJob() override { stop(); }

  void add(ports::NbdExport nbd) { m_exports.push_back(std::move(nbd)); }
  const std::vector<ports::NbdExport>& exports() const override { return m_exports; }
  base::Instant taken_at() const override { return m_taken_at; }
  bool quiesced() const override { return false; }
  void end() override {
    m_lab.call("job.end");
    stop();
  }

 private:
  void stop() {
    if (m_ended) return;
    m_ended = true;
    --m_lab.open_jobs;
    m_domain.job = false;
    for (const ports::NbdExport& nbd : m_exports) m_lab.m_exports.erase(nbd.uri);
  }
  MemoryLab& m_lab;
  model::Domain& m_domain;
  base::Instant m_taken_at;
  std::vector<ports::NbdExport> m_exports;
  bool m_ended = false;
};

class LabHypervisor : public ports::Hypervisor {
 public:
  LabHypervisor(MemoryLab& lab, std::string name) : m_lab(lab), m_name(model::HostName(std::move(name))) {}

  const model::HostName& host() const override { return m_name; }
  std::string by_hand(std::string_view command, const model::VmName& vm) const override {
    return "virsh -c sim://" + m_name.get() + " " + std::string(command) + " " + vm.get();
  }
  model::HostFacts facts() override {
    m_lab.call("hv.facts");
    model::HostFacts facts;
    facts.name = m_name;
    return facts;
  }
  std::vector<model::Domain> domains() override {
    m_lab.call("hv.domains");
    std::vector<model::Domain> all;
    for (const auto& [vm, domain] : me().domains) all.push_back(domain);
    return all;
  }
  std::optional<model::Domain> find(const model::VmName& vm) override {
    m_lab.call("hv.find");
    const auto it = me().domains.find(vm);
    return it == me().domains.end() ? std::nullopt : std::optional(it->second);
  }
  std::optional<model::ByteRate> dirty_rate(const model::VmName&) override { return std::nullopt; }
  model::CpuVerdict can_run_cpu_of(const model::Domain&) override { return {}; }
  bool agent_is_silent(const model::VmName& vm) override { return !me().activity.contains(vm); }
  std::optional<model::GuestActivity> guest_activity(const model::VmName& vm) override {
    m_lab.call("hv.guest_activity");
    const auto it = me().activity.find(vm);
    if (it == me().activity.end()) return std::nullopt;
    model::GuestActivity now = it->second;
    now.uptime_s = base::Seconds(m_lab.clock.steady()).count();
    return now;
  }

  void define_shadow(const model::Domain& primary, const ports::ShadowDefinition& definition) override {
    m_lab.call("hv.define_shadow");
    model::Domain shadow = primary;
    shadow.state = DomainState::off;
    shadow.tag = definition.tag;
    shadow.job = false;
    for (model::Disk& disk : shadow.disks) disk.path = definition.disk_paths.at(disk.name);
    me().domains[primary.name] = shadow;
    ++me().definitions;
  }
  void undefine(const model::VmName& vm) override {
    m_lab.call("hv.undefine");
    me().domains.erase(vm);
    me().checkpoints.erase(vm);
  }
  void set_tag(const model::VmName& vm, const model::RoleTag& tag) override {
    m_lab.call("hv.set_tag");
    domain(vm).tag = tag;
  }

  void set_autostart(const model::VmName& vm, bool on) override {
    m_lab.call("hv.set_autostart");
    domain(vm).autostart = on;
  }

  std::vector<model::CheckpointName> checkpoints(const model::VmName& vm) override {
    m_lab.call("hv.checkpoints");
    return me().checkpoints[vm];
  }
  std::map<model::DiskName, std::string> checkpoint_files(const model::VmName& vm,
                                                          const model::CheckpointName& name) override {
    m_lab.call("hv.checkpoint_files");
    if (!std::ranges::count(me().checkpoints[vm], name)) throw Error(Kind::not_found, "no such checkpoint");
    return me().checkpoint_files[name];
  }
  std::optional<model::ByteCount> written_since(const model::VmName& vm, const model::CheckpointName& name) override {
    m_lab.call("hv.written_since");
    std::uint64_t blocks = 0;
    for (const model::Disk& disk : domain(vm).disks) {
      const auto bitmaps = me().bitmaps.find(disk.path);
      if (bitmaps == me().bitmaps.end() || !bitmaps->second.contains(name.get())) continue;
      blocks += bitmaps->second.at(name.get()).size();
    }
    return model::ByteCount{blocks * model::block_size};
  }
  void delete_checkpoint(const model::VmName& vm, const model::CheckpointName& name) override {
    m_lab.call("hv.delete_checkpoint");
    if (domain(vm).state == DomainState::off || domain(vm).job)
      throw Error(Kind::io, "no checkpoint can be deleted now");
    std::erase(me().checkpoints[vm], name);
    for (auto& [path, bitmaps] : me().bitmaps) bitmaps.erase(name.get());
  }
  std::unique_ptr<ports::BackupJob> begin_backup(const model::VmName& vm,
                                                 const ports::BackupRequest& request) override {
    m_lab.call("hv.begin_backup");
    model::Domain& d = domain(vm);
    if (d.state == DomainState::off || d.job) throw Error(Kind::io, "no backup can begin now");
    if (request.fresh && std::ranges::count(me().checkpoints[vm], *request.fresh))
      throw Error(Kind::invalid, "that checkpoint is there already");
    auto job = std::make_unique<LabJob>(m_lab, d);
    for (const model::Disk& disk : d.disks) {
      const std::string uri = fmt::format("nbd://{}/{}/{}", m_name.get(), vm.get(), disk.name.get());
      const MemoryImage& image = me().storage.files.at(disk.path);
      const bool untracked = std::ranges::count(request.untracked, disk.name) > 0;
      if (disk.format != "qcow2" && !untracked && (request.since || request.fresh))
        throw Error(Kind::unsupported, "a bitmap is asked for of a disk that has none");
      if (request.since && !untracked) {
        m_lab.m_exports[uri] = std::make_unique<MemorySource>(image, changes(disk, request.since->get()));
        job->add({disk.name, uri, "qemu:dirty-bitmap:x"});
      } else {
        m_lab.m_exports[uri] = std::make_unique<MemorySource>(image);
        job->add({disk.name, uri, ""});
      }
    }
    if (request.fresh) {
      me().checkpoints[vm].push_back(*request.fresh);
      for (const model::Disk& disk : d.disks) {
        if (std::ranges::count(request.untracked, disk.name)) continue;
        me().bitmaps[disk.path][request.fresh->get()] = {};
        me().checkpoint_files[*request.fresh][disk.name] = disk.path;
      }
    }
    return job;
  }
  bool end_stale_backup(const model::VmName& vm) override {
    m_lab.call("hv.end_stale_backup");
    if (!domain(vm).job || !me().stale_job) return false;
    domain(vm).job = false;
    return true;
  }

  ports::FreezeResult freeze(const model::VmName& vm, const ports::FreezeRequest& request) override {
    m_lab.call("hv.freeze");
    model::Domain& d = domain(vm);
    if (d.state != DomainState::running || d.job) throw Error(Kind::io, "no freeze is possible now");
    for (model::Disk& disk : d.disks) {
      const std::string overlay = request.overlays.at(disk.name);
      MemoryHost& storage = me().storage;
      if (storage.files.contains(overlay)) throw Error(Kind::invalid, overlay + " is there already");
      storage.files[overlay] = storage.files.at(disk.path);
      storage.chains[overlay] = MemoryPoints(storage).chain(disk.path);
      storage.chains[overlay].insert(storage.chains[overlay].begin(), overlay);
      for (const auto& [name, blocks] : me().bitmaps[disk.path]) me().bitmaps[overlay][name] = {};
      disk.chain.insert(disk.chain.begin(), disk.path);
      disk.path = overlay;
    }
    if (request.memory_file) me().storage.files[*request.memory_file] = me().memory.at(vm);
    m_lab.call("hv.freeze-answer");
    return {m_lab.clock.now(), true, 12.5};
  }
  void fold(const model::VmName& vm, const std::map<model::DiskName, std::string>& down_to) override {
    m_lab.call("hv.fold");
    domain(vm).job = false;  // a commit that was under way is gone on with
    domain(vm).block_job.reset();
    for (model::Disk& disk : domain(vm).disks) {
      const std::string base = down_to.at(disk.name);
      if (base == disk.path) continue;
      me().storage.files[base] = me().storage.files.at(disk.path);
      for (const auto& [name, blocks] : me().bitmaps[disk.path])
        me().bitmaps[base][name].insert(blocks.begin(), blocks.end());
      disk.path = base;
      std::erase(disk.chain, base);
    }
  }

  std::unique_ptr<ports::Move> begin_move(const model::VmName&, const ports::MoveRequest&) override {
    throw Error(Kind::unsupported, "this lab moves nothing");
  }
  ports::MoveFigures last_move(const model::VmName&) override { return {}; }
  std::future<void> announce(const model::VmName&) override { return {}; }
  void start(const model::VmName& vm) override { domain(vm).state = DomainState::running; }
  void resume(const model::VmName& vm) override { domain(vm).state = DomainState::running; }
  void destroy(const model::VmName& vm) override {
    m_lab.call("hv.destroy");
    model::Domain& found = domain(vm);
    found.state = DomainState::off;
    if (const auto it = me().defined_on.find(vm); it != me().defined_on.end()) {
      for (model::Disk& disk : found.disks) disk.path = it->second.at(disk.name);
    }
  }
  void restore(const model::VmName& vm, const ports::ResumeRequest& request) override {
    m_lab.call("hv.restore");
    model::Domain& found = domain(vm);
    found.state = DomainState::running;
    for (model::Disk& disk : found.disks) {
      me().defined_on[vm].try_emplace(disk.name, disk.path);
      disk.path = request.disk_paths.at(disk.name);
    }
    if (request.links_down) me().links_down.insert(vm);
    m_lab.call("hv.restore-answer");
  }

 private:
  LabHost& me() { return m_lab.host(m_name.get()); }
  model::Domain& domain(const model::VmName& vm) {
    const auto it = me().domains.find(vm);
    if (it == me().domains.end()) throw Error(Kind::not_found, "no VM " + vm.get());
    return it->second;
  }
  /// As libvirt does it: the bitmaps of that name in all files of the chain together.
  std::set<std::uint64_t> changes(const model::Disk& disk, const std::string& bitmap) {
    std::set<std::uint64_t> blocks;
    bool any = false;
    for (const std::string& path : MemoryPoints(me().storage).chain(disk.path)) {
      const auto it = me().bitmaps[path].find(bitmap);
      if (it == me().bitmaps[path].end()) continue;
      any = true;
      blocks.insert(it->second.begin(), it->second.end());
    }
    if (!any) throw Error(Kind::corrupt, "the bitmap " + bitmap + " is gone");
    return blocks;
  }
  MemoryLab& m_lab;
  model::HostName m_name;
};

class LabTransport : public ports::Transport {
 public:
  explicit LabTransport(MemoryLab& lab) : m_lab(lab) {}
  std::unique_ptr<ports::PointStore> connect(const model::HostName& host) override {
    m_lab.call("transport.connect");
    return std::make_unique<MemoryPoints>(m_lab.host(host.get()).storage,
                                          [this](const std::string& name) { m_lab.call(name); });
  }
  std::unique_ptr<ports::BlockSource> open(const ports::NbdExport& nbd) override {
    m_lab.call("transport.open_nbd");
    if (m_lab.on_open) m_lab.on_open();
    return std::move(m_lab.m_exports.at(nbd.uri));
  }
  std::unique_ptr<ports::BlockSource> open(const model::HostName& name, const ports::FileExport& file) override {
    m_lab.call("transport.open_file");
    LabHost& host = m_lab.host(name.get());
    const auto it = host.storage.files.find(file.path);
    if (it == host.storage.files.end()) throw Error(Kind::not_found, "no file " + file.path);
    const MemoryImage image = it->second;
    if (m_lab.on_open) m_lab.on_open();
    if (file.bitmap) {
      const auto found = host.bitmaps[file.path].find(*file.bitmap);
      if (found == host.bitmaps[file.path].end()) throw Error(Kind::not_found, "no bitmap " + *file.bitmap);
      return std::make_unique<MemorySource>(image, found->second);
    }
    if (file.above) return std::make_unique<MemorySource>(image, differing(image, host.storage.files.at(*file.above)));
    return std::make_unique<MemorySource>(image);
  }
  std::unique_ptr<ports::MoveGuard> guard_move(const model::HostName&, const model::Uuid&,
                                               const std::vector<std::string>&) override {
    return nullptr;
  }
  bool end_guard(const model::HostName&, const model::Uuid&) override { return false; }

 private:
  static std::set<std::uint64_t> differing(const MemoryImage& a, const MemoryImage& b) {
    const auto left = a.manifest(model::DiskName("x")).blocks;
    const auto right = b.manifest(model::DiskName("x")).blocks;
    std::set<std::uint64_t> blocks;
    for (std::size_t i = 0; i < left.size(); ++i) {
      if (i >= right.size() || left[i] != right[i]) blocks.insert(i);
    }
    return blocks;
  }
  MemoryLab& m_lab;
};

struct MemoryLab::Switchboard : ports::Hypervisors {
  explicit Switchboard(MemoryLab& l) : lab(l), transport(l) {}
  ports::Hypervisor& at(const model::HostName& host) override {
    if (!lab.m_hosts.contains(host.get())) throw Error(Kind::not_found, "no host " + host.get());
    auto& made = connected[host.get()];
    if (!made) made = std::make_unique<LabHypervisor>(lab, host.get());
    return *made;
  }
  std::vector<model::HostName> names() const override {
    std::vector<model::HostName> all;
    for (const auto& [name, host] : lab.m_hosts) all.emplace_back(name);
    return all;
  }
  MemoryLab& lab;
  LabTransport transport;
  std::map<std::string, std::unique_ptr<LabHypervisor>> connected;
};

MemoryLab::MemoryLab() : m_switchboard(std::make_unique<Switchboard>(*this)) {
  m_hosts["alpha"];
  m_hosts["beta"];
}
MemoryLab::~MemoryLab() = default;

LabHost& MemoryLab::host(const std::string& name) {
  return m_hosts.at(name);
}

model::Domain& MemoryLab::add_vm(const std::string& on, const std::string& vm,
                                 const std::vector<std::uint64_t>& sizes) {
  LabHost& h = host(on);
  model::Domain domain;
  domain.name = model::VmName(vm);
  domain.uuid = model::Uuid("12345678-0000-4000-8000-" + fmt::format("{:0>12}", vm.size()));
  domain.state = DomainState::running;
  domain.memory = {8 * model::block_size};
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    model::Disk disk;
    disk.name = model::DiskName(fmt::format("vd{}", static_cast<char>('a' + i)));
    disk.path = fmt::format("{}/{}-{}.qcow2", h.storage.images, vm, disk.name.get());
    disk.format = "qcow2";
    disk.size = {sizes[i]};
    h.storage.files[disk.path] = MemoryImage(disk.size);
    domain.disks.push_back(disk);
  }
  h.memory[domain.name] = MemoryImage(domain.memory);
  return h.domains[domain.name] = domain;
}

void MemoryLab::write(const std::string& on, const std::string& vm, const std::string& name, std::uint64_t offset,
                      std::uint64_t count, unsigned char value) {
  LabHost& h = host(on);
  for (const model::Disk& disk : h.domains.at(model::VmName(vm)).disks) {
    if (disk.name.get() != name) continue;
    h.storage.files.at(disk.path).fill(offset, count, value);
    for (auto& [bitmap, blocks] : h.bitmaps[disk.path]) {
      for (std::uint64_t b = offset / model::block_size; b * model::block_size < offset + count; ++b) blocks.insert(b);
    }
  }
}

const MemoryImage& MemoryLab::disk(const std::string& on, const std::string& vm, const std::string& name) {
  const auto& disks = host(on).domains.at(model::VmName(vm)).disks;
  const auto it = std::ranges::find(disks, model::DiskName(name), &model::Disk::name);
  return host(on).storage.files.at(it->path);
}

ports::Context MemoryLab::context() {
  return {*m_switchboard, m_switchboard->transport, clock, cancel, progress};
}

}  // namespace umbra::fakes
