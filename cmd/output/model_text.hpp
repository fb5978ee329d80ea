// SPDX-License-Identifier: Apache-2.0
#pragma once
// A forecast model told to a person: what it learned from, and what it was worth on data that it did not see.

#include <string>

#include "model/forecast_model.hpp"

namespace umbra::cmd {

/// Layer by layer its provenance, then a row of scores for each set, resource and question. A site's own model may hold
/// scores that another version wrote: what is not there shows as "-".
std::string model_text(const model::ForecastModel& model, bool colour);

}  // namespace umbra::cmd
