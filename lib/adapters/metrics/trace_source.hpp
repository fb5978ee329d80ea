// SPDX-License-Identifier: Apache-2.0
#pragma once
// A trace that grows, as a source.

#include <filesystem>
#include <memory>

#include "ports/metric_source.hpp"

namespace umbra::metrics {

/// The rows of FILE, or of every *.csv of DIR, as trace.hpp reads them; read once per call of range(), a bounded number
/// of rows in memory. What was not used is told in messages. An unfinished last row is left for the next call.
std::unique_ptr<ports::RecordedSource> trace_source(std::filesystem::path path);

}  // namespace umbra::metrics
