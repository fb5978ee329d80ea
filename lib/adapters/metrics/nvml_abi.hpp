// SPDX-License-Identifier: Apache-2.0
#pragma once
// The part of NVML's binary interface that is used, as NVIDIA's "NVML API Reference" gives it (nvml.h, API version 11
// and later; chapters "Initialization and Cleanup", "Device Queries", "vGPU Management"). Debian's main has no header
// of it. A stand-in for tests implements the same.

#include <cstdint>

namespace umbra::metrics::nvml {

// NOLINTBEGIN(readability-identifier-naming): NVIDIA's names
extern "C" {

using nvmlReturn_t = int;
inline constexpr nvmlReturn_t success = 0;            // NVML_SUCCESS
inline constexpr nvmlReturn_t not_supported = 3;      // NVML_ERROR_NOT_SUPPORTED
inline constexpr nvmlReturn_t not_found = 6;          // NVML_ERROR_NOT_FOUND
inline constexpr nvmlReturn_t insufficient_size = 7;  // NVML_ERROR_INSUFFICIENT_SIZE
inline constexpr nvmlReturn_t driver_not_loaded = 9;  // NVML_ERROR_DRIVER_NOT_LOADED

using nvmlDevice_t = struct nvmlDevice_st*;
using nvmlVgpuInstance_t = unsigned int;
using nvmlVgpuTypeId_t = unsigned int;
using nvmlVgpuVmIdType_t = int;
inline constexpr nvmlVgpuVmIdType_t vm_id_is_uuid = 1;  // NVML_VGPU_VM_ID_UUID: as KVM names VMs; 0 is Xen's domain id

struct nvmlUtilization_t {
  unsigned int gpu;     // percent of the time of the last sample in which a kernel ran
  unsigned int memory;  // percent of it in which memory was read or written: not how full it is
};

struct nvmlMemory_t {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

union nvmlValue_t {
  double dVal;
  unsigned int uiVal;
  unsigned long ulVal;
  unsigned long long ullVal;
  signed long long sllVal;
};

struct nvmlVgpuInstanceUtilizationSample_t {
  nvmlVgpuInstance_t vgpuInstance;
  unsigned long long timeStamp;  // microseconds since 1970
  nvmlValue_t smUtil;            // percent, unsigned int
  nvmlValue_t memUtil;
  nvmlValue_t encUtil;
  nvmlValue_t decUtil;
};

}  // extern "C"
// NOLINTEND(readability-identifier-naming)

}  // namespace umbra::metrics::nvml
