// SPDX-License-Identifier: Apache-2.0
// A stand-in for NVIDIA's libnvidia-ml.so.1: two GPUs, of which the second tells nothing of its use, and three virtual
// ones of two VMs. UMBRA_FAKE_NVML=no-driver|broken|none|absurd changes what it says.
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "adapters/metrics/nvml_abi.hpp"

using namespace umbra::metrics::nvml;

namespace {

bool set_to(std::string_view what) {
  const char* value = std::getenv("UMBRA_FAKE_NVML");
  return value != nullptr && value == what;
}

bool is_first(nvmlDevice_t device) {
  return reinterpret_cast<std::uintptr_t>(device) == 1;
}

constexpr unsigned long long gib = 1ull << 30;

}  // namespace

extern "C" {

nvmlReturn_t nvmlInit_v2() {
  return set_to("no-driver") ? driver_not_loaded : success;
}
nvmlReturn_t nvmlShutdown() {
  return success;
}
const char* nvmlErrorString(nvmlReturn_t) {
  return "GPU is lost";
}
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned* count) {
  *count = set_to("none") ? 0 : 2;
  return set_to("broken") ? 15 : success;
}
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t* device) {
  *device = reinterpret_cast<nvmlDevice_t>(static_cast<std::uintptr_t>(index + 1));
  return success;
}
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t* rates) {
  if (!is_first(device)) return not_supported;
  *rates = {set_to("absurd") ? 4294967295U : 75, 10};
  return success;
}
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
  *memory = is_first(device) ? nvmlMemory_t{24 * gib, 12 * gib, 12 * gib} : nvmlMemory_t{8 * gib, 4 * gib, 4 * gib};
  return success;
}
nvmlReturn_t nvmlDeviceGetActiveVgpus(nvmlDevice_t device, unsigned* count, nvmlVgpuInstance_t* instances) {
  if (!is_first(device)) return not_supported;
  const unsigned room = *count;
  *count = 3;
  if (room < 3 || instances == nullptr) return insufficient_size;
  for (unsigned i = 0; i < 3; ++i) instances[i] = 11 + i;
  return success;
}
nvmlReturn_t nvmlVgpuInstanceGetVmID(nvmlVgpuInstance_t instance, char* id, unsigned size, nvmlVgpuVmIdType_t* type) {
  *type = instance == 13 ? 0 : vm_id_is_uuid;  // the third is a VM of Xen
  std::strncpy(id, instance == 13 ? "42" : "6C46433B-A559-4661-B7CF-050811BFEBD7", size);
  return success;
}
nvmlReturn_t nvmlDeviceGetVgpuUtilization(nvmlDevice_t, unsigned long long, int* type, unsigned* count,
                                          nvmlVgpuInstanceUtilizationSample_t* samples) {
  const unsigned room = *count;
  *type = 1;
  *count = 3;
  if (room < 3 || samples == nullptr) return insufficient_size;
  const unsigned values[3][3] = {{11, 100, 10}, {11, 200, 40}, {12, 200, 60}};  // instance, time, percent
  for (unsigned i = 0; i < 3; ++i) {
    samples[i] = {};
    samples[i].vgpuInstance = values[i][0];
    samples[i].timeStamp = values[i][1];
    samples[i].smUtil.uiVal = set_to("absurd") && values[i][0] == 11 ? 4294967295U : values[i][2];
  }
  return success;
}
nvmlReturn_t nvmlVgpuInstanceGetFbUsage(nvmlVgpuInstance_t instance, unsigned long long* used) {
  *used = (instance - 10) * gib;
  return success;
}
nvmlReturn_t nvmlVgpuInstanceGetType(nvmlVgpuInstance_t, nvmlVgpuTypeId_t* type) {
  *type = 7;
  return success;
}
nvmlReturn_t nvmlVgpuTypeGetFramebufferSize(nvmlVgpuTypeId_t type, unsigned long long* size) {
  *size = type == 7 ? 6 * gib : 0;
  return success;
}

}  // extern "C"
