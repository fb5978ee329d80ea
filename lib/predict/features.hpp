// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the trees see of one origin: numbers free of the step, and, but for the level, of the scale.

#include <string>
#include <string_view>
#include <vector>

#include "model/metrics.hpp"
#include "predict/crossings.hpp"
#include "predict/past.hpp"

namespace umbra::predict {

/// One VM's resource as known at an origin, which is its newest reading.
struct View {
  const Past& past;            ///< not empty
  const Crossings& crossings;  ///< has followed `past`
  const Past* companion;       ///< another resource of the VM, up to the origin; null where there is none
  model::Resource resource;
};

/// The resource whose course says most about another's: memory for CPU and the reverse, likewise for GPUs, CPU for
/// network and disk.
model::Resource companion_of(model::Resource resource);

/// First the course of the resource, whatever the threshold; then how it stands to the threshold, and how the VM has
/// come over it so far. Spans are multiples of the window, or clock time where people's habits rule (hours, days,
/// weeks). Levels are fractions of capacity, slopes are rises per window, times are in windows. NaN where the past does
/// not reach. What says which VM it is (an index, a date) is left out: it is learned by heart and means nothing
/// elsewhere.
void append_features(const View& view, std::vector<float>& row);

/// As many, and in the same order, as append_features() appends.
const std::vector<std::string>& feature_names();
/// Which of them that is, counted from 0.
std::size_t feature_column(std::string_view name);
/// How many of them, from the first on, are the course.
std::size_t course_columns();

/// Columns that hardly change from one day of a VM to the next: by them few VMs are told apart and learned by heart.
const std::vector<std::size_t>& telling_columns();

}  // namespace umbra::predict
