// SPDX-License-Identifier: Apache-2.0
#pragma once
// The request as the walk's row keeps it, so that recovery needs no configuration to go on.

#include "model/record_json.hpp"
#include "switchover/walk.hpp"

namespace umbra::switchover {

model::Json to_json(const Request& request);
/// The inverse for all that a walk uses; Kind::corrupt where the row is damaged.
Request request_from(const model::VmName& vm, const std::string& plan);

model::Json paths_json(const std::map<model::DiskName, std::string>& paths);
std::map<model::DiskName, std::string> paths_from(const model::Json& json, const char* key);

model::Json tag_json(const model::RoleTag& tag);
model::RoleTag tag_from(const model::Json& json, const char* key);

model::Json estimate_json(const Estimate& estimate);
Estimate estimate_from(const model::Json& json);

}  // namespace umbra::switchover
