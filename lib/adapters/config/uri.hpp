// SPDX-License-Identifier: Apache-2.0
#pragma once
// Libvirt URIs, as far as the configuration has to understand them. Inside this folder only.

#include <optional>
#include <string>

namespace umbra::config {

/// Whether libvirt could take it for a URI: it has a scheme.
bool is_uri(const std::string& text);

/// "beta" of "qemu+ssh://root@beta:22/system"; nothing for one without a host, such as "qemu:///system".
std::optional<std::string> host_in_uri(const std::string& uri);

}  // namespace umbra::config
