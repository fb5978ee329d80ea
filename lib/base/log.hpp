// SPDX-License-Identifier: Apache-2.0
#pragma once
// Messages for a person, on standard error. Results never come this way.

#include <string_view>

namespace umbra::base {

enum class Level { error, warning, info, debug };

/// Messages above `most` are dropped; info is the default.
void set_log_level(Level most);
/// One line, prefixed "umbra: " and, below info, by its level. Thread-safe.
void log(Level level, std::string_view message);

}  // namespace umbra::base
