// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a page looks, in light, in dark and on paper.

#include <string_view>

namespace umbra::cmd {

/// CSS without characters that XML would want escaped.
std::string_view page_style();

}  // namespace umbra::cmd
