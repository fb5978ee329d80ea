// SPDX-License-Identifier: Apache-2.0
#pragma once
// Threads that do a part of the work.

#include <functional>
#include <thread>

namespace umbra::base {

/// A thread to which no signal is delivered: they stay with the one that looks for them.
std::thread thread_without_signals(std::function<void()> work);

}  // namespace umbra::base
