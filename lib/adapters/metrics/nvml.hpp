// SPDX-License-Identifier: Apache-2.0
#pragma once
// NVIDIA GPUs of this machine, by the library that comes with their driver (NVML), opened at run time.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/metrics.hpp"

namespace umbra::metrics {

/// What is in use, as fractions; absent where the GPU or its driver does not tell.
struct GpuUse {
  std::optional<double> gpu;
  std::optional<double> gpu_memory;
};

struct GpuReading {
  unsigned gpus = 0;
  GpuUse host;                                        ///< all GPUs together: mean time, sum of memory
  std::vector<std::pair<model::Uuid, GpuUse>> by_vm;  ///< by virtual GPUs (vGPU); a VM may have several
};

/// A GPU that is passed through whole is its guest's: the host's driver does not see it, a DCGM exporter in the guest
/// does.
class Nvml {
 public:
  /// Nothing where the library is not there, or says that it has no driver. Kind::unsupported where it is there but
  /// lacks what is needed.
  static std::unique_ptr<Nvml> open(const std::string& library);
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;
  ~Nvml();

  /// Kind::io with what NVML says where the driver fails; what one GPU does not support is absent.
  GpuReading read();

 private:
  struct Library;
  explicit Nvml(std::unique_ptr<Library> library);
  std::unique_ptr<Library> m_library;
};

/// Puts what was read into the counters of the VMs and of `host` that are there already.
void add_gpus(const GpuReading& reading, const model::HostName& host, std::vector<model::Counters>& counters);

}  // namespace umbra::metrics
