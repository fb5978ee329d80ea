// SPDX-License-Identifier: Apache-2.0
#pragma once
// What holds for every TCP connection of the project.

namespace umbra::base {

/// A cut line is noticed after 25 s, whether data is waited for or was sent. A local socket needs none and has none, so
/// a failure to set it is none.
void notice_a_dead_link(int socket) noexcept;

}  // namespace umbra::base
