// SPDX-License-Identifier: Apache-2.0
#pragma once
// Numbers as monitoring systems write them.

#include <optional>
#include <string_view>

namespace umbra::metrics {

/// The whole text as a finite number; nothing for "NaN", an infinity or anything else.
std::optional<double> number_of(std::string_view text);

}  // namespace umbra::metrics
