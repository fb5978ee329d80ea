// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/nvml.hpp"

#include <dlfcn.h>
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "adapters/metrics/nvml_abi.hpp"
#include "base/error.hpp"

namespace umbra::metrics {

using namespace nvml;

/// The library, opened and started; both are undone with it.
struct Nvml::Library {
  void* handle = nullptr;
  bool started = false;
  std::string name;

  nvmlReturn_t (*init)() = nullptr;
  nvmlReturn_t (*shutdown)() = nullptr;
  const char* (*error_string)(nvmlReturn_t) = nullptr;
  nvmlReturn_t (*device_count)(unsigned*) = nullptr;
  nvmlReturn_t (*device_by_index)(unsigned, nvmlDevice_t*) = nullptr;
  nvmlReturn_t (*utilization)(nvmlDevice_t, nvmlUtilization_t*) = nullptr;
  nvmlReturn_t (*memory)(nvmlDevice_t, nvmlMemory_t*) = nullptr;
  // Of virtual GPUs; older drivers have none of these.
  nvmlReturn_t (*active_vgpus)(nvmlDevice_t, unsigned*, nvmlVgpuInstance_t*) = nullptr;
  nvmlReturn_t (*vm_id)(nvmlVgpuInstance_t, char*, unsigned, nvmlVgpuVmIdType_t*) = nullptr;
  nvmlReturn_t (*vgpu_utilization)(nvmlDevice_t, unsigned long long, int*, unsigned*,
                                   nvmlVgpuInstanceUtilizationSample_t*) = nullptr;
  nvmlReturn_t (*vgpu_memory_used)(nvmlVgpuInstance_t, unsigned long long*) = nullptr;
  nvmlReturn_t (*vgpu_type)(nvmlVgpuInstance_t, nvmlVgpuTypeId_t*) = nullptr;
  nvmlReturn_t (*vgpu_memory_total)(nvmlVgpuTypeId_t, unsigned long long*) = nullptr;

  Library() = default;
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() {
    if (started) shutdown();
    if (handle != nullptr) dlclose(handle);
  }

  template <class Function>
  bool find(Function*& function, const char* symbol) {
    function = reinterpret_cast<Function*>(dlsym(handle, symbol));
    return function != nullptr;
  }

  bool find_all() {
    const bool whole = find(init, "nvmlInit_v2") && find(shutdown, "nvmlShutdown") &&
                       find(error_string, "nvmlErrorString") && find(device_count, "nvmlDeviceGetCount_v2") &&
                       find(device_by_index, "nvmlDeviceGetHandleByIndex_v2") &&
                       find(utilization, "nvmlDeviceGetUtilizationRates") && find(memory, "nvmlDeviceGetMemoryInfo");
    const bool vgpus = find(active_vgpus, "nvmlDeviceGetActiveVgpus") && find(vm_id, "nvmlVgpuInstanceGetVmID") &&
                       find(vgpu_utilization, "nvmlDeviceGetVgpuUtilization") &&
                       find(vgpu_memory_used, "nvmlVgpuInstanceGetFbUsage") &&
                       find(vgpu_type, "nvmlVgpuInstanceGetType") &&
                       find(vgpu_memory_total, "nvmlVgpuTypeGetFramebufferSize");
    if (!vgpus) active_vgpus = nullptr;
    return whole;
  }

  void check(nvmlReturn_t result, const char* what) const {
    if (result != success)
      throw base::Error(base::Kind::io, fmt::format("{}: {}: {}", name, what, error_string(result)), "nvidia-smi");
  }

  /// Whether it was told; false where this GPU can't tell it.
  bool told(nvmlReturn_t result, const char* what) const {
    if (result == not_supported || result == not_found) return false;
    check(result, what);
    return true;
  }
};

namespace {

/// Somewhat above the whole is the whole; far above it the driver does not know.
std::optional<double> within(double fraction) {
  return fraction <= model::most_fraction ? std::optional(std::min(1.0, fraction)) : std::nullopt;
}

std::optional<double> part_of(unsigned long long used, unsigned long long total) {
  if (total == 0) return std::nullopt;
  return within(static_cast<double>(used) / static_cast<double>(total));
}

/// Sums over GPUs, of which some may not tell.
struct GpuTotals {
  double busy = 0;
  unsigned told_busy = 0;
  unsigned long long used = 0;
  unsigned long long total = 0;

  void add_busy(unsigned percent) {
    const std::optional<double> share = within(percent / 100.0);
    busy += share.value_or(0);
    told_busy += share ? 1 : 0;
  }
  GpuUse use() const {
    GpuUse use;
    if (told_busy > 0) use.gpu = busy / told_busy;
    use.gpu_memory = part_of(used, total);
    return use;
  }
};

}  // namespace

Nvml::Nvml(std::unique_ptr<Library> library) : m_library(std::move(library)) {}
Nvml::~Nvml() = default;

std::unique_ptr<Nvml> Nvml::open(const std::string& name) {
  auto library = std::make_unique<Library>();
  library->name = name;
  library->handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library->handle == nullptr) return nullptr;
  if (!library->find_all()) {
    throw base::Error(base::Kind::unsupported, name + " is no NVML of driver 450 or later",
                      "install NVIDIA's current driver, or point [metrics] nvml at its libnvidia-ml.so.1");
  }
  const nvmlReturn_t started = library->init();
  if (started == driver_not_loaded) return nullptr;
  library->check(started, "start");
  library->started = true;
  return std::unique_ptr<Nvml>(new Nvml(std::move(library)));
}

namespace {

/// The virtual GPUs on one device, with what each uses.
template <class Library>
void read_vgpus(const Library& nvml, nvmlDevice_t device, std::map<model::Uuid, GpuTotals>& by_vm) {
  std::vector<nvmlVgpuInstance_t> instances;
  unsigned count = 0;
  nvmlReturn_t result = nvml.active_vgpus(device, &count, nullptr);
  while (result == insufficient_size) {  // more may have come since it was asked how many
    instances.resize(count);
    result = nvml.active_vgpus(device, &count, instances.data());
  }
  if (!nvml.told(result, "list virtual GPUs")) return;
  instances.resize(std::min<std::size_t>(count, instances.size()));
  if (instances.empty()) return;

  std::map<nvmlVgpuInstance_t, nvmlVgpuInstanceUtilizationSample_t> newest;
  std::vector<nvmlVgpuInstanceUtilizationSample_t> samples;
  int type = 0;
  count = 0;
  result = nvml.vgpu_utilization(device, 0, &type, &count, nullptr);
  while (result == insufficient_size || (result == success && count > samples.size())) {
    samples.resize(count);
    result = nvml.vgpu_utilization(device, 0, &type, &count, samples.data());
  }
  if (nvml.told(result, "read the use of virtual GPUs")) {
    samples.resize(std::min<std::size_t>(count, samples.size()));
    for (const auto& sample : samples) {
      auto& kept = newest.try_emplace(sample.vgpuInstance, sample).first->second;
      if (kept.timeStamp < sample.timeStamp) kept = sample;
    }
  }

  for (const nvmlVgpuInstance_t instance : instances) {
    char id[128] = {};
    nvmlVgpuVmIdType_t id_type = 0;
    if (!nvml.told(nvml.vm_id(instance, id, sizeof id, &id_type), "read a virtual GPU's VM")) continue;
    if (id_type != vm_id_is_uuid) continue;
    id[sizeof id - 1] = '\0';
    std::string uuid(id);
    std::ranges::transform(uuid, uuid.begin(), [](unsigned char c) { return std::tolower(c); });
    GpuTotals& vm = by_vm[model::Uuid(uuid)];
    if (const auto it = newest.find(instance); it != newest.end()) vm.add_busy(it->second.smUtil.uiVal);
    unsigned long long used = 0;
    unsigned long long total = 0;
    nvmlVgpuTypeId_t kind = 0;
    if (nvml.told(nvml.vgpu_memory_used(instance, &used), "read a virtual GPU's memory") &&
        nvml.told(nvml.vgpu_type(instance, &kind), "read a virtual GPU's type") &&
        nvml.told(nvml.vgpu_memory_total(kind, &total), "read a virtual GPU's size")) {
      vm.used += used;
      vm.total += total;
    }
  }
}

}  // namespace

GpuReading Nvml::read() {
  const Library& nvml = *m_library;
  GpuReading reading;
  GpuTotals host;
  std::map<model::Uuid, GpuTotals> by_vm;
  nvml.check(nvml.device_count(&reading.gpus), "count the GPUs");
  for (unsigned i = 0; i < reading.gpus; ++i) {
    nvmlDevice_t device = nullptr;
    if (!nvml.told(nvml.device_by_index(i, &device), "find a GPU")) continue;
    if (nvmlUtilization_t rates{}; nvml.told(nvml.utilization(device, &rates), "read a GPU's use"))
      host.add_busy(rates.gpu);
    if (nvmlMemory_t memory{}; nvml.told(nvml.memory(device, &memory), "read a GPU's memory")) {
      host.used += memory.used;
      host.total += memory.total;
    }
    if (nvml.active_vgpus != nullptr) read_vgpus(nvml, device, by_vm);
  }
  reading.host = host.use();
  for (const auto& [uuid, totals] : by_vm) reading.by_vm.emplace_back(uuid, totals.use());
  return reading;
}

void add_gpus(const GpuReading& reading, const model::HostName& host, std::vector<model::Counters>& counters) {
  const auto set = [](model::Counters& to, const GpuUse& use) {
    to.gpu = use.gpu;
    to.gpu_memory = use.gpu_memory;
  };
  for (model::Counters& one : counters) {
    if (one.uuid.get().empty()) {
      if (one.host == host && reading.gpus > 0) set(one, reading.host);
      continue;
    }
    const auto vm = std::ranges::find(reading.by_vm, one.uuid, [](const auto& entry) { return entry.first; });
    if (vm != reading.by_vm.end()) set(one, vm->second);
  }
}

}  // namespace umbra::metrics
