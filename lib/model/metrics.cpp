// SPDX-License-Identifier: Apache-2.0
#include "model/metrics.hpp"

namespace umbra::model {

std::string_view to_string(Resource resource) {
  switch (resource) {
    case Resource::cpu:
      return "cpu";
    case Resource::memory:
      return "memory";
    case Resource::gpu:
      return "gpu";
    case Resource::gpu_memory:
      return "gpu_memory";
    case Resource::net:
      return "net";
    case Resource::disk:
      return "disk";
  }
  return "cpu";
}

std::optional<Resource> resource_from_string(std::string_view text) {
  for (const Resource resource : all_resources) {
    if (to_string(resource) == text) return resource;
  }
  return std::nullopt;
}

}  // namespace umbra::model
